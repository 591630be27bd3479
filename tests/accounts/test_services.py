import time

import pytest
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed, NotFound, ParseError, PermissionDenied

from accounts import services, tokens
from accounts.caller import Caller
from accounts.digests import digest
from accounts.exceptions import TooManyApiKeys
from accounts.models import ApiKey, Membership, Organization, Ticket, User
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def as_caller(user, credential="jwt", expires_at=None):
    return Caller(user.pk, user.public_id, user.username, (), user.is_staff, credential, expires_at)


def test_ensuring_a_user_makes_it_with_password_rights_and_membership(organization):
    user = services.ensure_user(
        username="demo", password="demo", is_staff=True, public_id="user_demo", organization=organization, role="admin"
    )
    assert user.check_password("demo")
    assert (user.public_id, user.is_staff, user.is_superuser) == ("user_demo", True, False)
    assert Membership.objects.get(user=user, organization=organization).role == "admin"


def test_ensuring_a_user_again_changes_nothing(organization):
    first = services.ensure_user(username="demo", password="demo", organization=organization)
    first.set_password("changed by its owner")
    first.save()
    again = services.ensure_user(username="demo", password="demo", is_staff=True, organization=organization)
    assert (again.pk, again.is_staff) == (first.pk, False)
    assert again.check_password("changed by its owner")
    assert (User.objects.count(), Membership.objects.count()) == (1, 1)


def test_ensuring_an_organization_twice_makes_one():
    assert services.ensure_organization(public_id="org_x", name="X") == services.ensure_organization(public_id="org_x")
    assert Organization.objects.get().name == "X"


def test_a_caller_is_described_with_its_organizations(alice):
    other = services.ensure_organization(public_id="org_a", name="A")
    services.ensure_user(username="alice", password="", organization=other, role="admin")
    assert services.describe(as_caller(alice)) == {
        "id": alice.public_id,
        "username": "alice",
        "is_staff": False,
        "organizations": [{"id": "org_a", "name": "A", "role": "admin"}, {"id": "org_tests", "name": "Tests", "role": "member"}],
    }


def test_a_refresh_token_gives_an_access_token_with_the_organizations_of_now(alice):
    pair = services.tokens_for(user=alice)
    access = services.refresh(refresh_token=pair["refresh"])
    assert tokens.read_access(access).user_id == alice.public_id
    with pytest.raises(AuthenticationFailed):
        services.refresh(refresh_token=pair["access"])


def test_a_refresh_token_ends_with_a_password_change(alice):
    pair = services.tokens_for(user=alice)
    alice.set_password("new")
    alice.save()
    with pytest.raises(AuthenticationFailed, match="Log in"):
        services.refresh(refresh_token=pair["refresh"])


def test_a_refresh_token_of_a_deactivated_user_is_refused(alice):
    pair = services.tokens_for(user=alice)
    User.objects.update(is_active=False)
    with pytest.raises(AuthenticationFailed):
        services.refresh(refresh_token=pair["refresh"])


@pytest.mark.parametrize(
    ("path", "bare"),
    [("/api/events", "/api/events"), ("/a?b=/c?d", "/a"), ("/a#b", "/a"), ("/a%20b/", "/a b/"), ("/", "/")],
)
def test_a_ticket_is_bound_to_the_path_without_query(alice, path, bare):
    made = services.create_ticket(caller=as_caller(alice), path=path)
    assert (made["path"], made["expires_in"]) == (bare, 30)
    row = Ticket.objects.get()
    assert (row.path, row.digest) == (bare, digest(made["ticket"]))
    assert 25 < (row.expires_at - timezone.now()).total_seconds() <= 30


@pytest.mark.parametrize(
    "path", ["", "api/events", "//evil.example/x", "https://evil.example/", "/a\nb", "/%00", "/" + "a" * 2001, "?x"]
)
def test_a_ticket_for_what_is_no_path_is_refused(alice, path):
    with pytest.raises(ParseError, match="path"):
        services.create_ticket(caller=as_caller(alice), path=path)


def test_making_a_ticket_removes_the_expired_ones(alice):
    services.create_ticket(caller=as_caller(alice), path="/old")
    Ticket.objects.update(expires_at=timezone.now())
    services.create_ticket(caller=as_caller(alice), path="/new")
    assert [each.path for each in Ticket.objects.all()] == ["/new"]


@pytest.mark.parametrize("ends", [None, 1e300])
def test_a_ticket_of_a_credential_without_a_usable_end_has_none(alice, ends):
    services.create_ticket(caller=as_caller(alice, expires_at=ends), path="/a")
    assert Ticket.objects.get().caller_expires_at is None


def test_a_ticket_keeps_the_end_of_its_credential(alice):
    ends = time.time() + 100
    services.create_ticket(caller=as_caller(alice, expires_at=ends), path="/a")
    assert Ticket.objects.get().caller_expires_at.timestamp() == pytest.approx(ends)


def test_of_an_api_key_only_the_digest_is_kept(alice):
    made = services.create_api_key(caller=as_caller(alice), name="laptop")
    assert made.key.startswith("sk_")
    assert len(made.key) == 35
    row = ApiKey.objects.get()
    assert (row.name, row.digest, row.prefix) == ("laptop", digest(made.key), made.key[:8])
    assert made.key not in repr(made)
    assert made.key not in str(vars(row))


@pytest.mark.parametrize("credential", ["api_key", "ticket"])
def test_a_key_or_a_ticket_cannot_make_keys(alice, credential):
    with pytest.raises(PermissionDenied):
        services.create_api_key(caller=as_caller(alice, credential), name="more")
    assert not ApiKey.objects.exists()


def test_keys_in_force_are_bounded_per_user(alice, bob, settings):
    settings.API_KEYS_PER_USER = 2
    first = services.issue_api_key(user_pk=alice.pk, name="1")
    services.issue_api_key(user_pk=alice.pk, name="2")
    with pytest.raises(TooManyApiKeys):
        services.issue_api_key(user_pk=alice.pk, name="3")
    services.issue_api_key(user_pk=bob.pk, name="1")
    services.revoke_api_key(user_pk=alice.pk, key_id=first.row.pk)
    services.issue_api_key(user_pk=alice.pk, name="3")
    assert [each.name for each in services.list_api_keys(user_pk=alice.pk)] == ["3", "2"]


def test_only_ones_own_keys_can_be_revoked_and_only_once(alice, bob):
    made = services.issue_api_key(user_pk=alice.pk, name="1")
    with pytest.raises(NotFound):
        services.revoke_api_key(user_pk=bob.pk, key_id=made.row.pk)
    services.revoke_api_key(user_pk=alice.pk, key_id=made.row.pk)
    assert ApiKey.objects.get().revoked_at is not None
    with pytest.raises(NotFound):
        services.revoke_api_key(user_pk=alice.pk, key_id=made.row.pk)


def test_a_log_in_gives_both_tokens(alice):
    pair = services.log_in(username="alice", password=PASSWORD, address="127.0.0.1")
    assert tokens.read_access(pair["access"]).user_id == alice.public_id
    assert tokens.read_refresh(pair["refresh"]).user_id == alice.public_id


def test_digests_keep_their_parts_apart():
    assert digest("a", "bc") != digest("ab", "c")
    assert len(digest("\ud800")) == 64
