"""What can be done with workspaces."""

from typing import TypedDict

from django.db import transaction

from workspaces.models import Workspace, WorkspaceMember


class WorkspaceSummary(TypedDict):
    """A workspace as lists tell it; both ids are public ones."""

    id: str
    name: str
    organization: str


def workspaces_of(user_pk: int) -> list[WorkspaceSummary]:
    """The workspaces that the user with this primary key is a member of, by public id."""
    workspaces = Workspace.objects.filter(memberships__user_id=user_pk).select_related("organization").order_by("public_id")
    return [{"id": each.public_id, "name": each.name, "organization": each.organization.public_id} for each in workspaces]


@transaction.atomic
def ensure_workspace(*, public_id: str, organization_pk: int, name: str = "", member_pks: tuple[int, ...] = ()) -> Workspace:
    """The workspace with this public id, made if it is not there, with at least these members."""
    workspace, _ = Workspace.objects.get_or_create(
        public_id=public_id, defaults={"organization_id": organization_pk, "name": name or public_id}
    )
    for pk in member_pks:
        WorkspaceMember.objects.get_or_create(workspace=workspace, user_id=pk)
    return workspace
