"""Telling a source's owner, on the user feed, how its ingestion goes, and colleagues that it is shared with them."""

import logging
from typing import Any

from accounts.models import Membership, Organization
from events.changes import SourceChange, source_changed
from events.exceptions import BrokerUnavailable
from events.outbox import publish_all_with_commit, publish_with_commit
from events.publishing import Publication, publish
from events.streams import Stream
from knowledge.conf import conf
from knowledge.ingest_events import ATTACHMENT_EVENTS, RESOURCE_SHARED, SOURCE_EVENTS
from knowledge.models import Source

logger = logging.getLogger(__name__)

LONGEST_ERROR = 1024


def describe(
    *, purpose: str, source_id: str, filename: str, operation: str, step: str, **more: Any
) -> tuple[str, dict[str, Any]]:
    """The type and the data of an event, in the fields of S0's system for sources and for attachments."""
    if "error" in more:
        more["error"] = str(more["error"])[:LONGEST_ERROR]
    if purpose == Source.Purpose.ATTACHMENT:
        payload = {"attachment_id": source_id, "filename": filename} | more
        return ATTACHMENT_EVENTS[step].name, {"scope": {"kind": "attachment", "id": source_id}, "payload": payload}
    payload = {"source_id": source_id, "filename": filename, "operation": operation} | more
    return SOURCE_EVENTS[step].name, {"scope": {"kind": "source", "id": source_id}, "payload": payload}


def announce(*, source: Source, operation: str, step: str, **more: Any) -> None:
    """Tells the owner with the current transaction, or not at all."""
    type_, data = describe(
        purpose=source.purpose, source_id=str(source.pk), filename=source.name, operation=operation, step=step, **more
    )
    publish_with_commit(stream=Stream("user", source.owner.public_id), type=type_, data=data)


def announce_progress(*, owner: str, **fields: Any) -> None:
    """Tells the owner at once; when the broker is away the next percent will tell."""
    type_, data = describe(step="progress", **fields)
    try:
        publish(stream=Stream("user", owner), type=type_, data=data)
    except BrokerUnavailable as error:
        logger.warning("Progress of %s was not told: %s", fields.get("source_id"), error)


def announce_shared(*, source: Source, organization: Organization) -> None:
    """Tells the other members, up to KNOWLEDGE_SHARED_TOLD, that they may search it; with the current transaction."""
    members = (
        Membership.objects.filter(organization=organization, user__is_active=True)
        .exclude(user_id=source.owner_id)
        .order_by("pk")
        .values_list("user__public_id", flat=True)[: conf.KNOWLEDGE_SHARED_TOLD]
    )
    payload = {
        "resource_type": "source",
        "resource_id": str(source.pk),
        "resource_name": source.name,
        "access_level": "read",
        "team_id": organization.public_id,
        "team_name": organization.name,
        "shared_by": source.owner.public_id,
    }
    data = {"scope": {"kind": "resource", "id": str(source.pk)}, "payload": payload}
    publish_all_with_commit([Publication(Stream("user", each), RESOURCE_SHARED.name, data) for each in members])


def announce_change(*, source: Source, action: str) -> None:
    """Says that what an organisation shares was `added`, `updated` or `deleted`, within the transaction of the change."""
    if source.organization_id is None or source.purpose != Source.Purpose.SOURCE:
        return
    change = SourceChange(
        organization_pk=source.organization_id,
        source_id=str(source.pk),
        name=source.name,
        action=action,
        changed_by=source.owner.public_id,
    )
    source_changed.send(Source, change=change)
