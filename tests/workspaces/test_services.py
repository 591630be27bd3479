import pytest

from accounts import services as accounts
from workspaces.models import WorkspaceMember
from workspaces.services import ensure_workspace, workspaces_of

pytestmark = pytest.mark.django_db


def test_a_user_sees_the_workspaces_it_is_a_member_of_and_no_others():
    organization = accounts.ensure_organization(public_id="org_w")
    alice, bob = (accounts.ensure_user(username=name, password=name) for name in ("alice", "bob"))
    ensure_workspace(public_id="ws_b", organization_pk=organization.pk, name="B", member_pks=(alice.pk, bob.pk))
    ensure_workspace(public_id="ws_a", organization_pk=organization.pk, member_pks=(alice.pk,))
    assert workspaces_of(alice.pk) == [
        {"id": "ws_a", "name": "ws_a", "organization": "org_w"},
        {"id": "ws_b", "name": "B", "organization": "org_w"},
    ]
    assert [each["id"] for each in workspaces_of(bob.pk)] == ["ws_b"]
    assert workspaces_of(0) == []


def test_ensuring_a_workspace_twice_makes_one_with_the_members_of_both_times():
    organization = accounts.ensure_organization(public_id="org_w")
    alice, bob = (accounts.ensure_user(username=name, password=name) for name in ("alice", "bob"))
    first = ensure_workspace(public_id="ws_a", organization_pk=organization.pk, member_pks=(alice.pk,))
    assert ensure_workspace(public_id="ws_a", organization_pk=organization.pk, member_pks=(alice.pk, bob.pk)) == first
    assert WorkspaceMember.objects.count() == 2
