"""How runs end: what their streams and rows say then, written in one transaction."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from chat.approvals.deciding import close_open
from chat.metrics import ENDED
from chat.models import Job, Run
from chat.run_events import Type
from chat.services import responding, telling, usage
from chat.services.responding import message_stream
from chat.snapshot import Snapshot
from events import journal
from events.event import Event, EventId
from events.publishing import now_ms


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: the terminal event's type and data, and what the run's row keeps of it."""

    type: Type
    code: str = ""
    message: str = ""
    retryable: bool = False
    finish_reason: str = ""

    @property
    def status(self) -> str:
        """The final status."""
        return self.type.value.removeprefix("run.")

    def data(self, conversation_id: uuid.UUID) -> dict[str, Any]:
        """The terminal event's data."""
        data: dict[str, Any] = {"conversation_id": str(conversation_id)}
        if self.type is Type.FAILED:
            data |= {"code": self.code, "message": self.message, "retryable": self.retryable}
        elif self.type is Type.COMPLETED:
            data |= {"finish_reason": self.finish_reason}
        return data


CANCELLED = Ending(Type.CANCELLED)
WORKER_DIED = Ending(
    Type.FAILED, "producer_stale", "The worker that wrote this answer died. The text so far is kept; ask again.", True
)
WORKER_STOPPED = Ending(Type.FAILED, "worker_stopped", "The server was restarted during this answer. Ask again.", True)


def settle(*, message_id: uuid.UUID, ending: Ending, snapshot: Snapshot) -> Callable[[], None]:
    """The final state of message and run, to be written in the transaction that writes the terminal event."""

    def write() -> None:
        run = Run.objects.select_for_update(of=("self",)).select_related("message__conversation").get(pk=message_id)
        run.status, run.ended_at, run.head = ending.status, timezone.now(), snapshot.head
        run.error_code, run.error, run.retryable = ending.code, ending.message, ending.retryable
        run.finish_reason, run.usage = ending.finish_reason, snapshot.usage
        run.continuation = None
        run.save()
        close_open(run, reason=ending.status)
        _settle_job(run, snapshot.result)
        message = run.message
        message.run = run
        message.text, message.thought = "".join(snapshot.text), "".join(snapshot.thought)
        message.sources, message.tool_calls = snapshot.sources, snapshot.tool_calls
        message.save(update_fields=["text", "thought", "sources", "tool_calls"])
        telling.answer_changed(message=message, type=Type.MESSAGE_FINISHED, status=ending.status)
        responding.pass_on(answer=message, run=run)
        transaction.on_commit(ENDED.labels(ending.status, ending.code).inc, robust=True)

    return write


def _settle_job(run: Run, result: dict[str, Any] | None) -> None:
    """Keeps what a job came to; one that did not complete costs its account nothing."""
    job = Job.objects.filter(pk=run.pk).first()
    if job is None:
        return
    if run.status == Run.Status.COMPLETED:
        job.result = result
    else:
        after = usage.give_back(user_pk=run.requested_by_id, month=job.month)
        job.usage = after.data if after else job.usage | {"was_billable": False}
    job.save(update_fields=["result", "usage"])


def last_events(*, snapshot: Snapshot, ending: Ending, conversation_id: uuid.UUID) -> list[Event]:
    """What is missing at the end of a stream: the end of an open block, then the terminal event."""
    missing: list[tuple[str, dict[str, Any]]] = []
    if snapshot.open_block is not None:
        family, block = snapshot.open_block
        missing.append((f"{family}.end", {"block": block}))
    missing.append((ending.type, ending.data(conversation_id)))
    events = [Event(EventId(seq, 0), type_, data, now_ms()) for seq, (type_, data) in enumerate(missing, start=snapshot.head + 1)]
    for event in events:
        snapshot.head = event.id.major
        snapshot.add(event.type, event.data)
    return events


def end(*, message_id: uuid.UUID, conversation_id: uuid.UUID, lease: int, events: Sequence[Event], ending: Ending) -> list[Event]:
    """Ends a run from outside its worker, under a lease of the caller's own; the events added. Raises `LeaseLost`.

    `events`: the whole stream so far, as broker and journal have it.
    """
    snapshot = Snapshot.of(events)
    added = last_events(snapshot=snapshot, ending=ending, conversation_id=conversation_id)
    also = settle(message_id=message_id, ending=ending, snapshot=snapshot)
    journal.end(stream=message_stream(message_id), lease=lease, events=[*events, *added], also=also)
    return added
