"""Workspaces and their members over REST: who may what, and what is told."""

import pytest

from accounts import services as accounts
from accounts.models import User
from workspaces.models import Workspace, WorkspaceMember
from workspaces.services import ensure_workspace

LIST = "/api/v1/workspaces"
ONE = f"{LIST}/ws_a"
MEMBERS = f"{ONE}/members"


def member_names(workspace="ws_a"):
    return set(WorkspaceMember.objects.filter(workspace__public_id=workspace).values_list("user__username", flat=True))


@pytest.mark.parametrize(
    ("by", "role"), [("ann", "admin"), ("bob", "member"), ("chief", None), ("staff", None)], ids=lambda each: str(each)
)
def test_members_admins_of_the_organisation_and_staff_see_a_workspace(call, by, role):
    shown = {"id": "ws_a", "name": "Drafts", "organization": "org_w", "role": role, "members": 2}
    assert call("get", ONE, by=by) == (200, shown)
    assert call("get", LIST, by=by) == (200, {"results": [shown], "next": None})


@pytest.mark.parametrize("by", ["carl", "other"])
@pytest.mark.parametrize("address", [ONE, MEMBERS, f"{LIST}/ws_none", f"{LIST}/%00"])
def test_for_everybody_else_there_is_none(call, by, address):
    assert call("get", address, by=by)[0] == 404
    assert call("get", LIST, by=by)[1]["results"] == []


def test_nobody_sees_anything_without_credentials(client, people):
    for address in (LIST, ONE, MEMBERS):
        assert client.get(address).status_code == 401


def test_lists_are_paged_and_can_be_of_one_organisation(call, people):
    organization = accounts.ensure_organization(public_id="org_x")
    for number in range(60):
        ensure_workspace(public_id=f"ws_x{number:02}", organization_pk=organization.pk, member_pks=(people["ann"].pk,))
    _, first = call("get", LIST)
    _, second = call("get", f"{LIST}?cursor={first['next']}")
    ids = [each["id"] for each in first["results"] + second["results"]]
    assert ids == ["ws_a", *(f"ws_x{number:02}" for number in range(60))]
    assert second["next"] is None
    assert [each["id"] for each in call("get", f"{LIST}?organization=org_w")[1]["results"]] == ["ws_a"]


@pytest.mark.parametrize("by", ["chief", "staff"])
def test_an_admin_of_the_organisation_and_staff_create_rename_and_delete(call, by):
    status, made = call("post", LIST, {"organization": "org_w", "name": "Plans"}, by=by)
    assert status == 201
    inside = by == "chief"
    assert (made["name"], made["role"], made["members"]) == ("Plans", "admin" if inside else None, int(inside))
    status, renamed = call("patch", f"{LIST}/{made['id']}", {"name": "Old plans"}, by=by)
    assert (status, renamed["name"], renamed["id"]) == (200, "Old plans", made["id"])
    assert call("delete", f"{LIST}/{made['id']}", by=by) == (204, None)
    assert not Workspace.objects.filter(public_id=made["id"]).exists()


@pytest.mark.parametrize(
    ("by", "create", "change"), [("ann", 403, 403), ("bob", 403, 403), ("carl", 403, 404), ("other", 404, 404)]
)
def test_nobody_else_does(call, by, create, change):
    assert call("post", LIST, {"organization": "org_w", "name": "Plans"}, by=by)[0] == create
    assert call("patch", ONE, {"name": "Mine"}, by=by)[0] == change
    assert call("delete", ONE, by=by)[0] == change
    assert list(Workspace.objects.values_list("name", flat=True)) == ["Drafts"]


def test_an_organisation_has_no_more_workspaces_than_allowed(call, settings):
    settings.WORKSPACES_PER_ORGANIZATION = 1
    status, body = call("post", LIST, {"organization": "org_w", "name": "Plans"}, by="chief")
    assert (status, body["code"]) == (409, "conflict")


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 201}, {"name": "\x00"}, []])
def test_a_wrong_body_is_refused(call, body):
    assert call("patch", ONE, body, by="chief")[0] == 400
    assert call("post", LIST, body, by="chief")[0] == 400
    assert call("post", MEMBERS, body)[0] == 400
    assert call("patch", f"{MEMBERS}/user_bob", body)[0] == 400


def test_members_are_listed_by_page(call, people):
    shown = [
        {"user": "user_ann", "username": "ann", "role": "admin"},
        {"user": "user_bob", "username": "bob", "role": "member"},
    ]
    assert call("get", MEMBERS, by="bob") == (200, {"results": shown, "next": None})
    workspace = Workspace.objects.get(public_id="ws_a")
    for number in range(60):
        user = User.objects.create(username=f"m{number}", public_id=f"user_m{number:02}")
        WorkspaceMember.objects.create(workspace=workspace, user=user)
    _, first = call("get", MEMBERS)
    _, second = call("get", f"{MEMBERS}?cursor={first['next']}")
    assert len({each["user"] for each in first["results"] + second["results"]}) == 62
    assert second["next"] is None


@pytest.mark.parametrize("by", ["ann", "chief", "staff"])
def test_an_admin_adds_a_member_who_is_told_as_are_the_others(call, told, by):
    assert call("post", MEMBERS, {"user": "user_carl"}, by=by) == (
        201,
        {"user": "user_carl", "username": "carl", "role": "member"},
    )
    payload = {
        "workspace_id": "ws_a",
        "workspace_name": "Drafts",
        "member_id": "user_carl",
        "member_name": "carl",
        "role": "member",
        "added_by": f"user_{by}",
    }
    assert told() == [("workspace.member_added", {"payload": payload, "user_id": f"user_{by}"})]
    feed = [("workspace.member_added", {"payload": payload, "scope": {"kind": "workspace", "id": "ws_a"}})]
    assert told("user:user_carl") == feed


def test_adding_again_changes_the_role_and_tells_nothing(call, told):
    assert call("post", MEMBERS, {"user": "user_bob", "role": "admin"}) == (
        200,
        {"user": "user_bob", "username": "bob", "role": "admin"},
    )
    assert call("patch", f"{MEMBERS}/user_bob", {"role": "member"})[1]["role"] == "member"
    assert told() == []


@pytest.mark.parametrize("user", ["user_other", "user_none"])
def test_only_members_of_the_organisation_are_added(call, user):
    assert call("post", MEMBERS, {"user": user}, by="chief")[0] == 404
    assert member_names() == {"ann", "bob"}


def test_a_deactivated_user_is_not_added(call):
    User.objects.filter(username="carl").update(is_active=False)
    assert call("post", MEMBERS, {"user": "user_carl"})[0] == 404


def test_a_workspace_has_no_more_members_than_allowed(call, settings):
    settings.WORKSPACE_MEMBERS_MAX = 2
    assert call("post", MEMBERS, {"user": "user_carl"})[0] == 409
    assert call("post", MEMBERS, {"user": "user_bob", "role": "admin"})[0] == 200


@pytest.mark.parametrize(("by", "status"), [("bob", 403), ("carl", 404), ("other", 404)])
def test_nobody_else_adds_changes_or_removes_members(call, by, status):
    assert call("post", MEMBERS, {"user": "user_carl"}, by=by)[0] == status
    assert call("patch", f"{MEMBERS}/user_ann", {"role": "member"}, by=by)[0] == status
    assert call("delete", f"{MEMBERS}/user_ann", by=by)[0] == status
    assert member_names() == {"ann", "bob"}


@pytest.mark.parametrize("by", ["ann", "chief", "staff", "bob"])
def test_an_admin_or_the_member_himself_ends_a_membership_and_the_workspace_is_told(call, told, by):
    assert call("delete", f"{MEMBERS}/user_bob", by=by) == (204, None)
    assert member_names() == {"ann"}
    payload = {"member_id": "user_bob", "member_name": "bob"}
    assert told() == [("workspace.member_removed", {"payload": payload, "user_id": None})]
    assert call("get", ONE, by="bob")[0] == 404


def test_what_is_not_there_cannot_be_removed(call):
    assert call("delete", f"{MEMBERS}/user_carl")[0] == 404
    assert call("delete", f"{MEMBERS}/user_carl", by="carl")[0] == 404
    assert call("patch", f"{MEMBERS}/%00", {"role": "admin"})[0] == 404


def test_who_was_in_a_deleted_workspace_is_told(call, told):
    assert call("delete", ONE, by="chief")[0] == 204
    assert {data["payload"]["member_id"] for _, data in told()} == {"user_ann", "user_bob"}
