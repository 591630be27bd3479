"""Workspaces in the admin: the pages, and that what is done there is told as it is everywhere."""

from accounts.models import Membership, Organization
from workspaces.models import Workspace, WorkspaceMember


def test_the_pages_open(admin_client, people):
    row = Workspace.objects.get(public_id="ws_a")
    for page in ("", "?q=a", "add/", f"{row.pk}/change/"):
        assert admin_client.get(f"/admin/workspaces/workspace/{page}").status_code == 200


def form(prefix, *rows):
    """The form of a page's rows of members; rows: (primary key or "", user's primary key, role, more)."""
    fields = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": sum(bool(row[0]) for row in rows)}
    for number, (pk, user, role, *more) in enumerate(rows):
        name = f"{prefix}-{number}-"
        fields |= {f"{name}id": pk, f"{name}user": user, f"{name}role": role} | {f"{name}{each}": "on" for each in more}
    return fields


def post_members(client, *rows):
    workspace = Workspace.objects.get(public_id="ws_a")
    fields = {"name": "Drafts", "organization": workspace.organization_id} | form("memberships", *rows)
    fields |= {f"memberships-{number}-workspace": workspace.pk for number in range(len(rows))}
    response = client.post(f"/admin/workspaces/workspace/{workspace.pk}/change/", fields)
    assert response.status_code == 302, response.content


def test_members_added_and_removed_in_the_admin_are_told(admin_client, admin_user, people, told):
    ann, bob = (WorkspaceMember.objects.get(user__username=name) for name in ("ann", "bob"))
    carl = people["carl"]
    post_members(admin_client, (ann.pk, ann.user_id, "admin"), (bob.pk, bob.user_id, "member", "DELETE"), ("", carl.pk, "member"))
    (gone, removed), (new, added) = sorted(told(), reverse=True)
    assert (gone, removed["payload"]["member_id"]) == ("workspace.member_removed", "user_bob")
    assert (new, added["payload"]["member_id"]) == ("workspace.member_added", "user_carl")
    assert added["user_id"] == admin_user.public_id


def test_a_row_with_another_user_ends_one_membership_and_begins_another(admin_client, people, told):
    ann, bob = (WorkspaceMember.objects.get(user__username=name) for name in ("ann", "bob"))
    post_members(admin_client, (ann.pk, ann.user_id, "member"), (bob.pk, people["carl"].pk, "member"))
    assert [(type_, data["payload"]["member_id"]) for type_, data in told()] == [
        ("workspace.member_removed", "user_bob"),
        ("workspace.member_added", "user_carl"),
    ]
    assert WorkspaceMember.objects.get(user__username="ann").role == "member"


def test_a_workspace_deleted_in_the_admin_tells_its_members(admin_client, people, told):
    workspace = Workspace.objects.get(public_id="ws_a")
    assert admin_client.post(f"/admin/workspaces/workspace/{workspace.pk}/delete/", {"post": "yes"}).status_code == 302
    assert {data["payload"]["member_id"] for _, data in told()} == {"user_ann", "user_bob"}


def test_who_is_put_out_of_the_organisation_is_put_out_of_its_workspaces(admin_client, people, told):
    organization = Organization.objects.get(public_id="org_w")
    bob = Membership.objects.get(user__username="bob")
    fields = {"name": "Writers"} | form("memberships", (bob.pk, bob.user_id, "member", "DELETE"))
    fields["memberships-0-organization"] = organization.pk
    assert admin_client.post(f"/admin/accounts/organization/{organization.pk}/change/", fields).status_code == 302
    assert [data["payload"]["member_id"] for _, data in told()] == ["user_bob"]
    assert not WorkspaceMember.objects.filter(user__username="bob").exists()


def test_a_deleted_user_is_told_to_the_workspace(people, told):
    people["bob"].delete()
    assert [data["payload"]["member_id"] for _, data in told()] == ["user_bob"]
