"""What is told of approvals: in the run's stream, to those who may decide, and in REST."""

from collections.abc import Iterable, Sequence
from typing import Any

from accounts.models import User
from chat.approvals.deciders import deciders_of
from chat.models import Approval, Run
from chat.run_events import Type
from events.outbox import publish_all_with_commit
from events.publishing import Publication
from events.streams import Stream

OUTSIDE = "/approvals"
"""The page for those who decide without taking part."""
NAMED = 50
"""How many approvals of a batch an event of the user feed names."""


def required(*, run: Run, approvals: Sequence[Approval], **more: Any) -> None:
    """Tells the feeds of all who may decide, with the current transaction. Never the payload: it may hold secrets."""
    inside = set(run.message.conversation.participants.values_list("user_id", flat=True))
    people = list(deciders_of(run, approvals[0].deciders))
    _publish(Type.APPROVAL_REQUIRED, [user for user in people if user.pk in inside], required_data(run, approvals, **more))
    # Who decides without taking part cannot open the conversation.
    more = {"href": OUTSIDE} | more
    _publish(Type.APPROVAL_REQUIRED, [user for user in people if user.pk not in inside], required_data(run, approvals, **more))


def required_data(run: Run, approvals: Sequence[Approval], **more: Any) -> dict[str, Any]:
    """The data of `tool.approval.required`; of a large batch only the first are named."""
    first = approvals[0]
    calls = [
        {
            "approval_id": str(each.pk),
            "call_id": each.subject,
            "name": each.title,
            "tool_name": each.title,
            "action_name": each.title,
        }
        for each in approvals[:NAMED]
    ]
    about = {"batch_id": str(first.batch_id), "kind": first.kind, "total": len(approvals)}
    return _data(run, **about, pending_tool_calls=calls, expires_at=first.expires_at.isoformat(), **more)


def cleared(*, run: Run, approvals: Sequence[Approval], reason: str) -> None:
    """Tells them, with the current transaction, that nothing of a batch is open any more."""
    first = approvals[0]
    told = [
        {
            "approval_id": str(each.pk),
            "call_id": each.subject,
            "status": each.status,
            "decided_by": each.decided_by.username if each.decided_by else None,
        }
        for each in approvals[:NAMED]
    ]
    data = _data(run, batch_id=str(first.batch_id), kind=first.kind, reason=reason, approvals=told)
    _publish(Type.APPROVAL_CLEARED, deciders_of(run, first.deciders), data)


def decided_data(approval: Approval) -> dict[str, Any]:
    """The data of `approval.decided`."""
    return {
        "approval_id": str(approval.pk),
        "batch_id": str(approval.batch_id),
        "kind": approval.kind,
        "subject": approval.subject,
        "title": approval.title,
        "status": approval.status,
        "decided_by": approval.decided_by.username if approval.decided_by else None,
        "feedback": approval.feedback,
        "edited": approval.edited_payload is not None,
    }


def _data(run: Run, **payload: Any) -> dict[str, Any]:
    conversation = str(run.message.conversation_id)
    ids = {"message_id": str(run.pk), "conversation_id": conversation}
    return {"scope": {"kind": "conversation", "id": conversation}, "payload": ids | payload}


def _publish(type_: Type, people: Iterable[User], data: dict[str, Any]) -> None:
    publish_all_with_commit([Publication(Stream("user", user.public_id), type_, data) for user in people])
