"""Deciding: once, by whoever is first, written together with everything that follows from it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.caller import Caller
from chat.approvals import kinds, streaming, telling
from chat.approvals.deciders import decidable_by, visible_to
from chat.approvals.payloads import problem_of_edit
from chat.models import Approval, ApprovalStep, Run
from chat.run_events import Type
from events.exceptions import Conflict, Forbidden, Gone, LeaseLost, NotFound, Unprocessable

NOT_EDITED: Any = object()


@dataclass(frozen=True, slots=True)
class Decision:
    """What someone decides about one approval.

    `edited`: what is to be done instead of the payload (only with `approved`); `payload_sha256`: the hash of what was
    seen, checked when given; `feedback` is told to the one who asked, a language model for example.
    """

    approved: bool
    edited: Any = NOT_EDITED
    feedback: str = ""
    payload_sha256: str = ""

    @property
    def status(self) -> str:
        """The approval's status after it."""
        return Approval.Status.APPROVED if self.approved else Approval.Status.DENIED

    @property
    def edited_payload(self) -> Any:
        """What the row keeps."""
        return None if self.edited is NOT_EDITED else self.edited

    def is_what_happened(self, approval: Approval) -> bool:
        """Whether the approval was decided so already."""
        return approval.status == self.status and approval.edited_payload == self.edited_payload


def decide(*, caller: Caller, approval_id: uuid.UUID, decision: Decision, via: str = "rest") -> Approval:
    """Decides one approval; see `decide_all`."""
    return decide_all(caller=caller, decisions={approval_id: decision}, via=via)[0]


def decide_batch(*, caller: Caller, batch_id: uuid.UUID, decisions: Mapping[uuid.UUID, Decision]) -> list[Approval]:
    """Decides several approvals of one batch, all or none; see `decide_all`. An approval of another batch is `NotFound`."""
    ids = set(visible_to(caller).filter(batch_id=batch_id).values_list("pk", flat=True))
    if not ids or not decisions.keys() <= ids:
        raise NotFound("There is no such approval in this batch.")
    return decide_all(caller=caller, decisions=decisions)


def decide_all(
    *, caller: Caller, decisions: Mapping[uuid.UUID, Decision], via: str = "rest", only_first: bool = False
) -> list[Approval]:
    """Decides approvals of one run, all or none; as they are then.

    The first decision stands. The same again changes nothing and is no error, unless `only_first`. Raises `NotFound`
    (also when it is not for the caller's eyes), `Forbidden`, `Conflict` (someone decided otherwise, or what was seen is not
    what would be done), `Gone` (expired) and `Unprocessable` (an edit that does not fit).
    """
    found = _checked(caller, decisions)
    if only_first or any(not decisions[each.pk].is_what_happened(each) for each in found):
        runs = {each.run_id for each in found}
        if len(runs) != 1:
            raise Unprocessable("Approvals of several runs cannot be decided together.")
        _decide(caller, runs.pop(), decisions, via, only_first)
    return list(_described(decisions))


def _checked(caller: Caller, decisions: Mapping[uuid.UUID, Decision]) -> list[Approval]:
    found = list(visible_to(caller).filter(pk__in=decisions).select_related("decided_by").order_by("batch_id", "position"))
    if not found or len(found) != len(decisions):
        raise NotFound("There is no such approval.")
    if Approval.objects.filter(decidable_by(caller), pk__in=decisions).count() != len(found):
        raise Forbidden("Others decide about this; you may see it.")
    for approval in found:
        _check(approval, decisions[approval.pk])
    return found


def _check(approval: Approval, decision: Decision) -> None:
    if decision.payload_sha256 and decision.payload_sha256.lower() != approval.payload_sha256:
        raise Conflict("payload_sha256 is the hash of something else: look at what would be done, and decide about that.")
    if decision.edited is NOT_EDITED:
        if decision.approved and approval.kind == Approval.Kind.INPUT:
            raise _wrong("edited", "missing", "This asks for an input: give it as `edited`.")
        return
    if not decision.approved:
        raise _wrong("edited", "value_error", "Only what is approved can be edited.")
    problem = problem_of_edit(decision.edited, approval.schema)
    if problem:
        raise _wrong("edited", "value_error", problem)


def _wrong(field: str, type_: str, message: str) -> Unprocessable:
    return Unprocessable(message, errors=[{"loc": ["body", field], "type": type_, "msg": message}])


def _decide(caller: Caller, message_id: uuid.UUID, decisions: Mapping[uuid.UUID, Decision], via: str, only_first: bool) -> None:
    try:
        with streaming.Appending(message_id) as stream:
            won = [pk for pk, decision in decisions.items() if _update(pk, caller.pk, decision)]
            lost = {pk: decision for pk, decision in decisions.items() if pk not in won}
            for approval in _described(lost):
                _refuse(approval, lost[approval.pk], only_first)
            approvals = list(_described(won))
            for approval in approvals:
                note = approval.feedback
                ApprovalStep.objects.create(approval=approval, what=approval.status, actor_id=caller.pk, via=via, note=note)
                stream.append(Type.APPROVAL_DECIDED, telling.decided_data(approval))
            close_batches(message_id, approvals, reason="decided")
    except LeaseLost:
        # The run has ended since it was looked at, and nothing of it is open any more: somebody else has decided, or its end.
        for approval in _described(decisions):
            _refuse(approval, decisions[approval.pk], only_first)


def _update(pk: uuid.UUID, user_pk: int, decision: Decision) -> bool:
    """The one statement that decides: of any number of deciders at the same moment it succeeds for one."""
    open_ = Approval.objects.filter(pk=pk, status=Approval.Status.PENDING, expires_at__gt=Now())
    return bool(
        open_.update(
            status=decision.status,
            decided_by_id=user_pk,
            decided_at=Now(),
            feedback=decision.feedback,
            edited_payload=decision.edited_payload,
        )
    )


def _refuse(approval: Approval, decision: Decision, only_first: bool) -> None:
    """Raises what is to be said to who came too late, unless it is what he wanted."""
    if approval.status in (Approval.Status.PENDING, Approval.Status.EXPIRED):
        raise Gone(f"This expired at {approval.expires_at.isoformat()}: nobody decided in time.")
    if decision.is_what_happened(approval) and not only_first:
        return
    who = approval.decided_by.username if approval.decided_by else "the server"
    when = approval.decided_at.isoformat() if approval.decided_at else "before"
    edited = " with changes" if approval.edited_payload is not None else ""
    raise Conflict(f"This was {approval.status}{edited} by {who} at {when}. The first decision stands.")


def close_batches(message_id: uuid.UUID, approvals: Sequence[Approval], *, reason: str) -> None:
    """Goes on with a run whose batch has nothing open any more; the caller holds the run's stream."""
    for batch_id in {each.batch_id for each in approvals}:
        batch = list(Approval.objects.select_related("decided_by").filter(batch_id=batch_id).order_by("position"))
        if any(each.status == Approval.Status.PENDING for each in batch):
            continue
        run = Run.objects.select_for_update(of=("self",)).select_related("message__conversation__application").get(pk=message_id)
        telling.cleared(run=run, approvals=batch, reason=reason)
        if run.status == Run.Status.AWAITING_APPROVAL:
            kinds.completed(run, batch)


def expire_due(*, limit: int = 100) -> int:
    """Ends what nobody decided in time; its runs go on, and their engines are told. How many."""
    due = Approval.objects.filter(status=Approval.Status.PENDING, expires_at__lte=Now()).order_by("expires_at")
    found = list(due.values_list("run_id", flat=True)[:limit])
    return sum(_expire(message_id) for message_id in dict.fromkeys(found))


def _expire(message_id: uuid.UUID) -> int:
    try:
        with streaming.Appending(message_id) as stream:
            due = Approval.objects.filter(run_id=message_id, status=Approval.Status.PENDING, expires_at__lte=Now())
            ids = list(due.values_list("pk", flat=True))
            due.filter(pk__in=ids).update(status=Approval.Status.EXPIRED, decided_at=Now())
            approvals = list(_described(ids))
            for approval in approvals:
                ApprovalStep.objects.create(approval=approval, what="expired")
                stream.append(Type.APPROVAL_DECIDED, telling.decided_data(approval))
            close_batches(message_id, approvals, reason="expired")
            return len(approvals)
    except LeaseLost:
        return 0


def close_open(run: Run, *, reason: str) -> None:
    """Cancels what is still open of a run that ends, in the caller's transaction."""
    open_ = run.approvals.filter(status=Approval.Status.PENDING)
    ids = list(open_.values_list("pk", flat=True))
    if not ids:
        return
    cancelled = Approval.Status.CANCELLED
    run.approvals.filter(pk__in=ids, status=Approval.Status.PENDING).update(status=cancelled, decided_at=timezone.now())
    ApprovalStep.objects.bulk_create([ApprovalStep(approval_id=pk, what=cancelled, note=reason) for pk in ids])
    telling.cleared(run=run, approvals=list(_described(ids)), reason=reason)


def _described(ids: Any) -> QuerySet[Approval]:
    return Approval.objects.select_related("decided_by").filter(pk__in=list(ids)).order_by("batch_id", "position")
