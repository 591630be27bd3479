"""What workspaces hear of: each signal is answered by one call of a service."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from events.changes import ApplicationChange, SourceChange, application_changed, source_changed
from workspaces import broadcasts, members
from workspaces.models import WorkspaceMember
from workspaces.workspace_events import APPLICATION_CHANGED, DOCUMENT_UPDATED


@receiver(post_delete, sender=WorkspaceMember)
def member_removed(instance: WorkspaceMember, **more: Any) -> None:
    """However it was deleted: over REST, in the admin, or with the user, the workspace or the organisation."""
    del more
    members.announce_removed(member=instance)


@receiver(source_changed)
def document_updated(change: SourceChange, **more: Any) -> None:
    """In the transaction of the change."""
    del more
    broadcasts.announce_in_organization(
        organization_pk=change.organization_pk,
        type=DOCUMENT_UPDATED.name,
        payload={"document_id": change.source_id, "name": change.name, "action": change.action},
        user_id=change.changed_by,
    )


@receiver(application_changed)
def application_was_changed(change: ApplicationChange, **more: Any) -> None:
    """In the transaction of the change."""
    del more
    broadcasts.announce_in_organization(
        organization_pk=change.organization_pk,
        type=APPLICATION_CHANGED.name,
        payload={"application_id": change.application_id, "name": change.name, "action": change.action},
        user_id=change.changed_by,
    )
