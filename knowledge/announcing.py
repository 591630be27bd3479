"""Telling a source's owner, on the user feed, how its ingestion goes."""

import logging
from typing import Any

from events.exceptions import BrokerUnavailable
from events.outbox import publish_with_commit
from events.publishing import publish
from events.streams import Stream
from knowledge.ingest_events import ATTACHMENT_EVENTS, SOURCE_EVENTS
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
