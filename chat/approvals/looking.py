"""Approvals as those may see them who take part, or decide."""

import uuid
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from accounts.caller import Caller
from chat.approvals import telling
from chat.approvals.deciders import decidable_by, visible_to
from chat.models import Approval
from chat.run_events import Type
from events.exceptions import NotFound
from events.paging import page
from events.pending import Pending, provides_pending

MOST_PENDING = 200


def listed(
    *, caller: Caller, open_only: bool | None, message_id: uuid.UUID | None = None, cursor: str = ""
) -> tuple[list[dict[str, Any]], str | None]:
    """One page after `cursor`, the newest first; only open ones, only decided ones, or (None) all. And the next page's cursor."""
    query = _rows(caller)
    if open_only is not None:
        open_ = {"status": Approval.Status.PENDING}
        query = query.filter(**open_) if open_only else query.exclude(**open_)
    if message_id is not None:
        query = query.filter(run_id=message_id)
    found, following = page(query, by="created_at", cursor=cursor)
    mine = _mine(caller, found)
    return [described(each, may_decide=each.pk in mine) for each in found], following


def one(*, caller: Caller, approval_id: uuid.UUID) -> dict[str, Any]:
    """One approval with its history. Raises `NotFound`."""
    found = _rows(caller).filter(pk=approval_id).first()
    if found is None:
        raise NotFound("There is no such approval.")
    steps = found.history.select_related("actor")
    history = [
        {
            "at": step.at.isoformat(),
            "what": step.what,
            "by": step.actor.username if step.actor else None,
            "via": step.via,
            "note": step.note,
        }
        for step in steps
    ]
    return described(found, may_decide=bool(_mine(caller, [found]))) | {"history": history}


def described(approval: Approval, *, may_decide: bool) -> dict[str, Any]:
    """An approval as REST gives it."""
    by = approval.decided_by
    return {
        "id": str(approval.pk),
        "batch_id": str(approval.batch_id),
        "batch_total": approval.batch_total,
        "position": approval.position,
        "message_id": str(approval.run_id),
        "conversation_id": str(approval.run.message.conversation_id),
        "kind": approval.kind,
        "subject": approval.subject,
        "title": approval.title,
        "reason": approval.reason,
        "payload": approval.payload,
        "payload_sha256": approval.payload_sha256,
        "schema": approval.schema,
        "status": approval.status,
        "may_decide": may_decide and approval.status == Approval.Status.PENDING,
        "requested_by": approval.requested_by.username if approval.requested_by else None,
        "created_at": approval.created_at.isoformat(),
        "expires_at": approval.expires_at.isoformat(),
        "decided_by": {"id": by.public_id, "username": by.username} if by else None,
        "decided_at": approval.decided_at.isoformat() if approval.decided_at else None,
        "feedback": approval.feedback,
        "edited_payload": approval.edited_payload,
    }


def _rows(caller: Caller) -> QuerySet[Approval]:
    return visible_to(caller).select_related("run__message", "requested_by", "decided_by")


def _mine(caller: Caller, found: list[Approval]) -> set[uuid.UUID]:
    wanted = [each.pk for each in found]
    return set(Approval.objects.filter(decidable_by(caller), pk__in=wanted).values_list("pk", flat=True))


@provides_pending
def open_approvals(caller: Caller) -> list[Pending]:
    """What waits for the caller's decision, as `tool.approval.required` events."""
    rows = Approval.objects.filter(decidable_by(caller), status=Approval.Status.PENDING)
    found = rows.select_related("run__message").order_by("batch_id", "position")[:MOST_PENDING]
    batches = [list(group) for _, group in groupby(found, key=lambda each: each.batch_id)]
    batches.sort(key=lambda batch: batch[0].created_at)
    return [(Type.APPROVAL_REQUIRED, telling.required_data(batch[0].run, batch)) for batch in batches]
