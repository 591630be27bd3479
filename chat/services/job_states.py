"""A job as its clients see it outside a stream: everything the stream tells, in one piece."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chat.dialects.superdocs import CANCELLED, result_of, told_of
from chat.models import Approval, DocumentVersion, Job, Run
from chat.run_events import Type
from chat.services import answers
from chat.services.endings import Ending
from chat.services.jobs import STATUSES, is_over
from events.event import Event, EventId

PROGRESS = {"pending": 0, "in_progress": 25, "awaiting_approval": 50}
"""How far a job is, of 100: nobody knows how long a language model takes."""
LARGE = ("old_html", "new_html", "updated_html")


def described(job: Job, *, compact: bool = False) -> dict[str, Any]:
    """All that there is about a job; `compact` leaves the HTML out."""
    events = events_of(job)
    state = listed(job) | {
        "updated_at": _iso(events[-1].at) if events else job.created_at.isoformat(),
        "metadata": {
            "approval_mode": job.mode,
            "turn_index": job.turn,
            "session": str(job.session_id),
            "document_id": str(job.version.document_id) if job.version else None,
            **_changes(job),
            "intermediate_responses": [told for event in events if (told := told_of(event)) and told["type"] == "intermediate"],
        },
        "result": _result(job),
        "last_sequence": events[-1].id.major if events else 0,
    }
    return without_html(state) if compact else state


def listed(job: Job) -> dict[str, Any]:
    """A job in a list."""
    run = job.run
    status = STATUSES[Run.Status(run.status)]
    if status == "pending" and run.continuation is not None:
        status = "in_progress"
    failed = run.status in (Run.Status.FAILED, Run.Status.CANCELLED)
    return {
        "job_id": str(job.pk),
        "session_id": job.session.name,
        "job_type": "document_edit" if job.version_id or (job.result or {}).get("version_id") else "chat",
        "status": status,
        "progress": PROGRESS.get(status, 100),
        "created_at": job.created_at.isoformat(),
        "updated_at": (run.ended_at or run.started_at or job.created_at).isoformat(),
        "error": (run.error or CANCELLED) if failed else None,
        "error_code": (run.error_code or "cancelled") if failed else None,
        "retryable": run.retryable,
        "usage": job.usage,
    }


def events_of(job: Job) -> list[Event]:
    """A job's events so far, filled in; of a job whose journal is pruned how it ended."""
    if is_over(job) and answers.is_pruned(message=job.run.message):
        return filled(ended_events(job))
    return filled(answers.read_all(job.pk))


def ended_events(job: Job) -> list[Event]:
    """How a job ended, as events again, from its row."""
    run = job.run
    at = int(run.ended_at.timestamp() * 1000) if run.ended_at else 0
    ending = Ending(Type(f"run.{run.status}"), run.error_code, run.error, run.retryable, run.finish_reason)
    data = ending.data(run.message.conversation_id) | ({"usage": job.usage} if job.result else {})
    last = Event(EventId(run.head, 0), ending.type, data, at)
    return [Event(EventId(run.head - 1, 0), Type.JOB_RESULT, job.result, at), last] if job.result else [last]


def needs_filling(events: Sequence[Event]) -> bool:
    """Whether any of them only refers to what it tells."""
    return any(event.type in (Type.CHANGE_PROPOSED, Type.JOB_RESULT) for event in events)


def filled(events: Sequence[Event]) -> list[Event]:
    """The same events with what some of them only refer to, because an event must not be as large as a document."""
    approvals = {event.data["approval_id"] for event in events if event.type == Type.CHANGE_PROPOSED}
    changes = dict(Approval.objects.filter(pk__in=approvals).values_list("pk", "payload")) if approvals else {}
    return [_filled(event, changes) for event in events]


def _filled(event: Event, changes: dict[uuid.UUID, Any]) -> Event:
    if event.type == Type.CHANGE_PROPOSED:
        return replace(event, data=event.data | {"change": changes.get(uuid.UUID(event.data["approval_id"]))})
    if event.type == Type.JOB_RESULT:
        return replace(event, data=event.data | {"updated_html": _html(event.data["version_id"])})
    return event


def _html(version_id: str | None) -> str | None:
    """None where there is no document, or the version is so old that it is no longer kept."""
    return DocumentVersion.objects.filter(pk=version_id).values_list("html", flat=True).first() if version_id else None


def _result(job: Job) -> dict[str, Any] | None:
    return result_of(job.result | {"updated_html": _html(job.result["version_id"])}) if job.result else None


def _changes(job: Job) -> dict[str, list[dict[str, Any]]]:
    """What was proposed: open, and decided with by whom and how. A run that is over waits for nothing."""
    found = Approval.objects.filter(run_id=job.pk, kind=Approval.Kind.PROPOSED_CHANGE).select_related("decided_by")
    rows = list(found.order_by("created_at", "position"))
    pending = [row for row in rows if row.status == Approval.Status.PENDING]
    return {
        "pending_changes": [row.payload for row in pending],
        "decided_changes": [row.payload | decided(row) for row in rows if row not in pending],
    }


def decided(row: Approval) -> dict[str, Any]:
    """What was decided about a change."""
    return {
        "change_id": row.subject,
        "decision": row.status,
        "decided_by": row.decided_by.username if row.decided_by else None,
        "feedback": row.feedback,
    }


def without_html(value: Any) -> Any:
    """The same JSON with null where there is a document's HTML."""
    if isinstance(value, dict):
        return {name: None if name in LARGE else without_html(each) for name, each in value.items()}
    return [without_html(each) for each in value] if isinstance(value, list) else value


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()
