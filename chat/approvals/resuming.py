"""Answering all that a run asks at once, from the request that then reads on (S0's `tool_actions`)."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from accounts.caller import Caller
from chat.approvals.deciding import Decision, decide_all
from chat.models import Approval, Message, Run
from chat.services import conversations
from chat.services.questions import message_stream
from events import journal
from events.event import EventId
from events.exceptions import Conflict, InvalidRequest

MISSING = Decision(approved=False, feedback="It was not among the approved ones.")
IN_PROGRESS = "Resume already in progress for this conversation, or nothing in it waits for an approval."


@dataclass(frozen=True, slots=True)
class Resumed:
    """An answer that goes on, and the cursor after which its new events come."""

    message: Message
    cursor: EventId


def resume(*, caller: Caller, conversation_id: uuid.UUID, actions: Mapping[str, Decision]) -> Resumed:
    """Decides about every open tool call of the waiting answer; a call that `actions` (by call id) does not name is denied.

    Raises `Conflict` when none waits, or someone else has just decided; `InvalidRequest` for a call that does not wait;
    and as `decide_all`.
    """
    conversations.conversation(caller=caller, conversation_id=conversation_id)
    waiting = _waiting(conversation_id, actions)
    open_ = {each.subject: each for each in waiting if each.status == Approval.Status.PENDING}
    unknown = [call_id for call_id in actions if call_id not in {each.subject for each in waiting}]
    if unknown:
        raise InvalidRequest(f"tool_actions names the call {unknown[0]!r}, which does not wait for an approval.")
    stream = message_stream(waiting[0].run_id)
    head = journal.heads([stream])[stream.name].head
    decisions = {each.pk: actions.get(call_id, MISSING) for call_id, each in open_.items()}
    # What others have decided before is not decided again; it must only not be contradicted.
    for each in waiting:
        if each.pk not in decisions and each.subject in actions and not actions[each.subject].is_what_happened(each):
            raise Conflict(f"The call {each.subject!r} was {each.status} already. The first decision stands.")
    decide_all(caller=caller, decisions=decisions, via="stream", only_first=True)
    message = conversations.message_of(caller=caller, message_id=waiting[0].run_id)
    return Resumed(message, head)


def _waiting(conversation_id: uuid.UUID, actions: Mapping[str, Decision]) -> list[Approval]:
    """The current batch of the answer that waits: that of the named calls, else the newest."""
    runs = Run.objects.filter(status=Run.Status.AWAITING_APPROVAL, message__conversation_id=conversation_id)
    open_ = Approval.objects.filter(run__in=runs, status=Approval.Status.PENDING, kind=Approval.Kind.TOOL_CALL)
    named = open_.filter(subject__in=list(actions)).order_by("-created_at").first()
    found = named or open_.order_by("-created_at").first()
    if found is None:
        raise Conflict(IN_PROGRESS)
    return list(Approval.objects.filter(batch_id=found.batch_id).order_by("position"))
