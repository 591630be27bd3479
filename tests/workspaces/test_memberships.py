"""Adding members: by whom, once, and told."""

import json

import pytest
import redis

from accounts import services as accounts
from accounts.models import Membership, Organization, User
from accounts.recent import recent_callers
from tests.knowledge.conftest import told

ADDRESS = "/api/v1/organizations/org_w/members"


@pytest.fixture(autouse=True)
def people(transactional_db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    organization = accounts.ensure_organization(public_id="org_w", name="Writers")
    accounts.ensure_user(username="chief", password="x", organization=organization, role="admin")
    accounts.ensure_user(username="member", password="x", organization=organization)
    accounts.ensure_user(username="staff", password="x", is_staff=True)
    accounts.ensure_user(username="other", password="x")
    accounts.ensure_user(username="new", password="x", public_id="user_new")


@pytest.fixture
def feed(redis_url):
    """What the new one was told."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield lambda: told(client, "user_new")


@pytest.fixture
def add(client):
    def call(body, *, by="chief", address=ADDRESS):
        token = accounts.access_token_for(user=User.objects.get(username=by))
        headers = {"Authorization": f"Bearer {token}"}
        response = client.post(address, json.dumps(body), content_type="application/json", headers=headers)
        return response.status_code, response.json()

    return call


def role_of(user_id="user_new"):
    return Membership.objects.filter(user__public_id=user_id).values_list("role", flat=True).first()


@pytest.mark.parametrize("by", ["chief", "staff"])
def test_a_new_member_is_told_who_added_him_to_what(add, feed, by):
    assert add({"user": "user_new", "role": "admin"}, by=by) == (
        201,
        {"organization": "org_w", "user": "user_new", "role": "admin"},
    )
    assert role_of() == "admin"
    ((type_, data),) = feed()
    assert type_ == "team.member_added"
    assert data == {
        "scope": {"kind": "team", "id": "org_w"},
        "payload": {
            "team_id": "org_w",
            "team_name": "Writers",
            "role": "admin",
            "added_by": User.objects.get(username=by).public_id,
        },
    }


def test_adding_a_member_again_changes_the_role_and_tells_nothing(add, feed):
    assert add({"user": "user_new"})[0] == 201
    status, told_now = add({"user": "user_new", "role": "admin"})
    assert (status, told_now["role"], role_of()) == (200, "admin", "admin")
    assert add({"user": "user_new", "role": "admin"})[0] == 200
    assert len(feed()) == 1
    assert Membership.objects.filter(user__public_id="user_new").count() == 1


@pytest.mark.parametrize(("by", "status"), [("member", 403), ("other", 404)])
def test_only_admins_and_staff_add_members(add, feed, by, status):
    assert add({"user": "user_new"}, by=by)[0] == status
    assert role_of() is None
    assert feed() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"user": "user_new", "role": "king"}, 400), ({"user": "\x00"}, 400), ({"user": "nobody"}, 404), ([], 400)],
)
def test_a_wrong_request_is_refused(add, body, status):
    assert add(body)[0] == status


@pytest.mark.parametrize("name", ["org_none", "%00", "%ED%A0%80"])
def test_an_organisation_that_is_not_there_is_not_found(add, name):
    assert add({"user": "user_new"}, by="staff", address=f"/api/v1/organizations/{name}/members")[0] == 404


def test_a_deactivated_user_is_not_added(add):
    User.objects.filter(public_id="user_new").update(is_active=False)
    assert add({"user": "user_new"})[0] == 404


def inline(*rows):
    """The form of the memberships on an organisation's page; rows: (membership's pk or "", user's pk, role, more)."""
    existing = sum(bool(row[0]) for row in rows)
    fields = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": existing}
    organization = Organization.objects.get(public_id="org_w")
    for number, (pk, user, role, *more) in enumerate(rows):
        prefix = f"memberships-{number}-"
        fields |= {f"{prefix}id": pk, f"{prefix}organization": organization.pk, f"{prefix}user": user, f"{prefix}role": role}
        fields |= {f"{prefix}{name}": "on" for name in more}
    return f"/admin/accounts/organization/{organization.pk}/change/", {"name": "Writers"} | fields


def test_a_member_added_in_the_admin_is_told_too(admin_client, admin_user, feed):
    user = User.objects.get(public_id="user_new")
    assert admin_client.post(*inline(("", user.pk, "member"))).status_code == 302
    ((type_, data),) = feed()
    assert (type_, data["payload"]["added_by"]) == ("team.member_added", admin_user.public_id)


def test_the_admin_changes_roles_moves_and_ends_memberships(admin_client, feed):
    member = Membership.objects.get(user__username="member")
    chief = Membership.objects.get(user__username="chief")
    user = User.objects.get(public_id="user_new")
    assert admin_client.post(*inline((member.pk, member.user_id, "admin"))).status_code == 302
    member.refresh_from_db()
    assert member.role == "admin"
    assert feed() == []
    rows = (member.pk, user.pk, "member"), (chief.pk, chief.user_id, "admin", "DELETE")
    assert admin_client.post(*inline(*rows)).status_code == 302
    assert [each.user.username for each in Membership.objects.all()] == ["new"]
    assert len(feed()) == 1


def test_a_user_page_of_the_admin_tells_as_well(admin_client, feed):
    user = User.objects.get(public_id="user_new")
    organization = Organization.objects.get(public_id="org_w")
    body = {
        "username": "new",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        "is_active": "on",
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 0,
        "memberships-0-user": user.pk,
        "memberships-0-organization": organization.pk,
        "memberships-0-role": "member",
    }
    assert admin_client.post(f"/admin/accounts/user/{user.pk}/change/", body).status_code == 302
    assert len(feed()) == 1
