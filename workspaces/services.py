"""What can be done with workspaces. Their members are in `workspaces.members`."""

from typing import TypedDict

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.caller import Caller
from accounts.models import Membership, Organization
from events.event import storable
from events.exceptions import Conflict, Forbidden, NotFound
from events.paging import page_by_name
from workspaces.conf import conf
from workspaces.memberships import administered_organization
from workspaces.models import Workspace, WorkspaceMember

NOTHING = "There is no workspace with this id that you may see."


class WorkspaceSummary(TypedDict):
    """A workspace as lists tell it; both ids are public ones."""

    id: str
    name: str
    organization: str


def workspaces_of(user_pk: int) -> list[WorkspaceSummary]:
    """The workspaces that the user with this primary key is a member of, by public id."""
    workspaces = Workspace.objects.filter(memberships__user_id=user_pk).select_related("organization").order_by("public_id")
    return [{"id": each.public_id, "name": each.name, "organization": each.organization.public_id} for each in workspaces]


def visible(caller: Caller) -> QuerySet[Workspace]:
    """Those that the caller is a member of, and all of the organisations that he administers; for staff every one.

    With `my_role`, the caller's own (None: no member), and `member_count`.
    """
    of_it = WorkspaceMember.objects.filter(workspace=OuterRef("pk")).order_by()
    rows = Workspace.objects.select_related("organization").annotate(
        my_role=Subquery(of_it.filter(user_id=caller.pk).values("role")[:1]),
        member_count=Coalesce(Subquery(of_it.values("workspace").annotate(number=Count("pk")).values("number")), 0),
    )
    return rows if caller.is_staff else rows.filter(Q(my_role__isnull=False) | Q(organization__in=_administered_by(caller)))


def _administered_by(caller: Caller) -> QuerySet[Membership, int]:
    return Membership.objects.filter(user_id=caller.pk, role=Membership.Role.ADMIN).values_list("organization_id", flat=True)


def get(*, caller: Caller, workspace_id: str) -> Workspace:
    """One of them; raises `NotFound` also where the caller may not know of it."""
    found = visible(caller).filter(public_id=storable(workspace_id)).first()
    if found is None:
        raise NotFound(NOTHING)
    return found


def list_workspaces(*, caller: Caller, organization_id: str = "", cursor: str = "") -> tuple[list[Workspace], str | None]:
    """One page of them by public id, of one organisation if that is given, and the cursor of the next page."""
    rows = visible(caller)
    if organization_id:
        rows = rows.filter(organization__public_id=storable(organization_id))
    return page_by_name(rows, by="public_id", cursor=cursor)


def administers(*, caller: Caller, workspace: Workspace) -> bool:
    """Whether the caller may change and delete the workspace: an admin of its organisation, or staff."""
    return caller.is_staff or _administered_by(caller).filter(organization_id=workspace.organization_id).exists()


@transaction.atomic
def create(*, caller: Caller, organization_id: str, name: str) -> Workspace:
    """A new workspace with the caller as its first member and admin. Raises `NotFound`, `Forbidden` and `Conflict`."""
    organization = administered_organization(caller, organization_id)
    # Locking the organisation makes two creations at the same moment count each other.
    Organization.objects.select_for_update().get(pk=organization.pk)
    most = conf.WORKSPACES_PER_ORGANIZATION
    if organization.workspaces.count() >= most:
        raise Conflict(f"The organisation has {most} workspaces, the most that it may have. Delete some first.")
    workspace = Workspace.objects.create(organization=organization, name=name)
    if Membership.objects.filter(organization=organization, user_id=caller.pk).exists():
        WorkspaceMember.objects.create(workspace=workspace, user_id=caller.pk, role=WorkspaceMember.Role.ADMIN)
    return get(caller=caller, workspace_id=workspace.public_id)


@transaction.atomic
def rename(*, caller: Caller, workspace_id: str, name: str) -> Workspace:
    """Gives a workspace another name; its id stays. Raises `NotFound` and `Forbidden`."""
    workspace = _administered(caller=caller, workspace_id=workspace_id)
    workspace.name = name
    workspace.save(update_fields=["name"])
    return workspace


@transaction.atomic
def delete(*, caller: Caller, workspace_id: str) -> None:
    """Deletes a workspace; whoever is connected to it is put out. Raises `NotFound` and `Forbidden`."""
    _administered(caller=caller, workspace_id=workspace_id).delete()


def _administered(*, caller: Caller, workspace_id: str) -> Workspace:
    workspace = get(caller=caller, workspace_id=workspace_id)
    if not administers(caller=caller, workspace=workspace):
        raise Forbidden("Only admins of the organisation can do this.")
    return workspace


@transaction.atomic
def ensure_workspace(*, public_id: str, organization_pk: int, name: str = "", member_pks: tuple[int, ...] = ()) -> Workspace:
    """The workspace with this public id, made if it is not there, with at least these members."""
    workspace, _ = Workspace.objects.get_or_create(
        public_id=public_id, defaults={"organization_id": organization_pk, "name": name or public_id}
    )
    for pk in member_pks:
        WorkspaceMember.objects.get_or_create(workspace=workspace, user_id=pk)
    return workspace
