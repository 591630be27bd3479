"""Who belongs to a workspace: members of its organisation, added by an admin of either."""

from dataclasses import dataclass

from django.db import transaction

from accounts.caller import Caller
from accounts.models import User
from events.event import storable
from events.exceptions import Conflict, Forbidden, NotFound
from events.outbox import publish_with_commit
from events.paging import page_by_name
from events.streams import Stream
from workspaces import broadcasts, memberships, services
from workspaces.conf import conf
from workspaces.models import Workspace, WorkspaceMember
from workspaces.workspace_events import MEMBER_ADDED, MEMBER_REMOVED


@dataclass(frozen=True, slots=True)
class Addition:
    """What came of adding a member: the member, and whether it is a new one."""

    member: WorkspaceMember
    is_new: bool


def is_member(*, workspace_id: str, user_pk: int) -> bool:
    """Whether the user with this primary key may read and speak in the workspace with this public id."""
    return WorkspaceMember.objects.filter(workspace__public_id=storable(workspace_id), user_id=user_pk).exists()


def find(*, workspace_id: str, user_pk: int) -> WorkspaceMember | None:
    """The membership of the user with this primary key, with the workspace and its organisation."""
    rows = WorkspaceMember.objects.select_related("workspace__organization")
    return rows.filter(workspace__public_id=storable(workspace_id), user_id=user_pk).first()


def may_administer(member: WorkspaceMember) -> bool:
    """Whether a member may add and remove others, by one role or another."""
    if member.role == WorkspaceMember.Role.ADMIN or member.user.is_staff:
        return True
    organizations = memberships.administered_organizations(user_pk=member.user_id)
    return member.workspace.organization in organizations


def names_of(user_ids: list[str]) -> dict[str, str]:
    """User names by public id; who was deleted meanwhile is missing."""
    return dict(User.objects.filter(public_id__in=user_ids).values_list("public_id", "username"))


def list_members(*, caller: Caller, workspace_id: str, cursor: str = "") -> tuple[list[WorkspaceMember], str | None]:
    """One page of a workspace's members by public id, and the cursor of the next. Raises `NotFound`."""
    workspace = services.get(caller=caller, workspace_id=workspace_id)
    return page_by_name(workspace.memberships.select_related("user"), by="user__public_id", cursor=cursor)


@transaction.atomic
def add(*, caller: Caller, workspace_id: str, user_id: str, role: str) -> Addition:
    """Adds a user of the organisation, or gives a member another role. Raises `NotFound`, `Forbidden` and `Conflict`."""
    workspace = _administered(caller=caller, workspace_id=workspace_id)
    user = User.objects.filter(public_id=user_id, is_active=True, memberships__organization=workspace.organization_id).first()
    if user is None:
        raise NotFound("The organisation has no member with this id. Add the user to the organisation first.")
    return enrol(workspace=workspace, user=user, role=role, added_by=caller.user_id)


@transaction.atomic
def change_role(*, caller: Caller, workspace_id: str, user_id: str, role: str) -> WorkspaceMember:
    """Gives a member another role. Raises `NotFound` and `Forbidden`."""
    member = _member(_administered(caller=caller, workspace_id=workspace_id), user_id)
    member.role = role
    member.save(update_fields=["role"])
    return member


@transaction.atomic
def remove(*, caller: Caller, workspace_id: str, user_id: str) -> None:
    """Ends a membership and closes the user's sockets there. Members may leave by themselves. Raises `NotFound`, `Forbidden`."""
    find = services.get if user_id == caller.user_id else _administered
    _member(find(caller=caller, workspace_id=workspace_id), user_id).delete()


@transaction.atomic
def enrol(*, workspace: Workspace, user: User, role: str, added_by: str) -> Addition:
    """Makes a user a member with this role and tells him and the others, if he was none. `added_by`: a public id.

    Raises `Conflict` when WORKSPACE_MEMBERS_MAX are there.
    """
    # Locking the workspace makes two additions at the same moment count each other.
    Workspace.objects.select_for_update().get(pk=workspace.pk)
    member = workspace.memberships.select_related("user").filter(user=user).first()
    if member is not None:
        if member.role != role:
            member.role = role
            member.save(update_fields=["role"])
        return Addition(member, is_new=False)
    most = conf.WORKSPACE_MEMBERS_MAX
    if workspace.memberships.count() >= most:
        raise Conflict(f"The workspace has {most} members, the most that it may have.")
    member = WorkspaceMember.objects.create(workspace=workspace, user=user, role=role)
    _announce_added(member, added_by)
    return Addition(member, is_new=True)


def _announce_added(member: WorkspaceMember, added_by: str) -> None:
    workspace, user = member.workspace, member.user
    payload = {
        "workspace_id": workspace.public_id,
        "workspace_name": workspace.name,
        "member_id": user.public_id,
        "member_name": user.username,
        "role": member.role,
        "added_by": added_by,
    }
    broadcasts.announce(workspaces=[workspace], type=MEMBER_ADDED.name, payload=payload, user_id=added_by)
    data = {"scope": {"kind": "workspace", "id": workspace.public_id}, "payload": payload}
    publish_with_commit(stream=Stream("user", user.public_id), type=MEMBER_ADDED.name, data=data)


def announce_removed(*, member: WorkspaceMember) -> None:
    """Tells a workspace that a membership was deleted; the member's own sockets there close when they read it."""
    payload = {"member_id": member.user.public_id, "member_name": member.user.username}
    broadcasts.announce(workspaces=[member.workspace], type=MEMBER_REMOVED.name, payload=payload)


def _administered(*, caller: Caller, workspace_id: str) -> Workspace:
    """The workspace, for its own admins, those of its organisation and staff."""
    workspace = services.get(caller=caller, workspace_id=workspace_id)
    admin = WorkspaceMember.Role.ADMIN
    if workspace.memberships.filter(user_id=caller.pk, role=admin).exists():
        return workspace
    if not services.administers(caller=caller, workspace=workspace):
        raise Forbidden("Only admins of the workspace or of its organisation can do this.")
    return workspace


def _member(workspace: Workspace, user_id: str) -> WorkspaceMember:
    member = workspace.memberships.select_related("user").filter(user__public_id=storable(user_id)).first()
    if member is None:
        raise NotFound("The workspace has no member with this id.")
    return member
