"""Asking for approvals: what is asked at once is a batch, and its run waits in the database until all of it is decided."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from chat.approvals import telling
from chat.approvals.deciders import configured
from chat.approvals.payloads import sha256_of
from chat.conf import conf
from chat.engines.text import clean_json
from chat.jobs import defer_approval_mails
from chat.models import Approval, ApprovalStep, Run
from events.event import to_json

TOLD_CHARS = 40_000
"""How much of the payloads of a batch an event holds, in characters of their JSON; the approvals have all."""

TOLD_APPROVALS = 100
"""How many approvals of a batch an event names: a document may have thousands of proposed changes."""


class StopRequested(Exception):
    """The run is to be stopped: there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be decided: exactly `payload`, which may be edited to anything that fits `schema` (None: not at all).

    `subject` is what it is about in the run's own words: the id of a tool call or of a change. `title` is for people.
    """

    subject: str
    title: str
    payload: Any
    schema: dict[str, Any] | None = None
    reason: str = ""
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run asks at once; all of one kind, see `chat.approvals.kinds`.

    `deciders` None: those of APPROVAL_DECIDERS. `expires_in`: seconds; None: APPROVAL_EXPIRES_SECONDS.
    """

    kind: str
    items: Sequence[Item]
    deciders: Sequence[str] | None = None
    expires_in: float | None = None
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    asked_at: datetime = field(default_factory=timezone.now)

    @property
    def expires_at(self) -> datetime:
        """When it is too late to decide."""
        return self.asked_at + timedelta(seconds=self.expires_in or conf.APPROVAL_EXPIRES_SECONDS)

    def event(self) -> dict[str, Any]:
        """The data of `approval.requested`. Payloads that would make it too large for its readers are left out."""
        approvals, room = [], TOLD_CHARS
        for item in self.items[:TOLD_APPROVALS]:
            told = {
                "approval_id": str(item.id),
                "subject": item.subject,
                "title": item.title,
                "reason": item.reason,
                "payload_sha256": sha256_of(item.payload),
                "editable": item.schema is not None,
            }
            room -= len(to_json(item.payload))
            approvals.append(told | {"payload": item.payload} if room >= 0 else told)
        return {
            "batch_id": str(self.id),
            "kind": self.kind,
            "expires_at": self.expires_at.isoformat(),
            "approvals": approvals,
        }


def request(*, message_id: uuid.UUID, batch: Batch, continuation: dict[str, Any]) -> Callable[[], None]:
    """Stores a running run as waiting for a batch, with where it goes on; to be called by `Writer.leave` in its transaction.

    What it gives raises `StopRequested` when the run is to be stopped: nobody would end it otherwise.
    """

    def write() -> None:
        run = Run.objects.select_for_update(of=("self",)).select_related("message__conversation__application").get(pk=message_id)
        if run.stop_requested_at is not None:
            raise StopRequested
        if run.status == Run.Status.AWAITING_APPROVAL and (run.continuation or {}).get("batch") == str(batch.id):
            return  # The database took it, and its answer was lost: the writer tries until it hears one.
        run.status, run.worker = Run.Status.AWAITING_APPROVAL, ""
        run.continuation = clean_json(continuation | {"batch": str(batch.id)})
        run.save(update_fields=["status", "worker", "continuation"])
        approvals = _create(run, batch)
        telling.required(run=run, approvals=approvals)
        if conf.APPROVAL_MAIL:
            defer_approval_mails(batch.id)

    return write


def _create(run: Run, batch: Batch) -> list[Approval]:
    escalates = configured("APPROVAL_ESCALATE_TO") if conf.APPROVAL_ESCALATE_SECONDS else []
    approvals = [
        Approval(
            pk=item.id,
            run=run,
            batch_id=batch.id,
            batch_total=len(batch.items),
            position=position,
            kind=batch.kind,
            subject=item.subject,
            title=item.title[:200],
            reason=item.reason,
            payload=clean_json(item.payload),
            payload_sha256=sha256_of(item.payload),
            schema=item.schema,
            deciders=list(batch.deciders) if batch.deciders is not None else configured("APPROVAL_DECIDERS"),
            escalates_to=escalates,
            requested_by_id=run.requested_by_id,
            reminds_at=_later(batch, conf.APPROVAL_REMIND_SECONDS),
            escalates_at=_later(batch, conf.APPROVAL_ESCALATE_SECONDS) if escalates else None,
            expires_at=batch.expires_at,
        )
        for position, item in enumerate(batch.items)
    ]
    with transaction.atomic():
        Approval.objects.bulk_create(approvals)
        ApprovalStep.objects.bulk_create([ApprovalStep(approval=each, what="requested") for each in approvals])
    return approvals


def _later(batch: Batch, seconds: float) -> datetime | None:
    return batch.asked_at + timedelta(seconds=seconds) if seconds else None
