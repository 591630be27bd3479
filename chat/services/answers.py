"""An answer as its readers see it outside a stream: so far, after pruning, and how it is stopped."""

import uuid
from collections.abc import Iterator
from typing import Any

from asgiref.sync import async_to_sync

from accounts.caller import Caller
from chat.models import Message, Run, Worker
from chat.run_events import Type
from chat.services import conversations, runs
from chat.services.endings import CANCELLED, Ending, last_events
from chat.services.leases import TakenOver
from chat.services.questions import message_stream
from chat.snapshot import Snapshot
from chat.sweep import end_run
from events import journal
from events.broker.connect import connect
from events.event import START, Event, EventId
from events.exceptions import Unavailable
from events.log import Log
from events.pending import Pending, provides_pending

TOOL_CALL_FIELDS = frozenset({"call_id", "name", "arguments", "arguments_truncated"})
TOOL_RESULT_FIELDS = frozenset({"call_id", "name", "status", "content", "content_truncated", "error", "execution_id"})


def tail(*, caller: Caller, message_id: uuid.UUID, cursor: EventId = START) -> dict[str, Any]:
    """The state of an answer now, up to `last_event_id`.

    Raises `NotFound`, and `Unavailable` when it goes on and cannot be told up to the cursor now: a broker that is away, or was
    emptied, may have told somebody who polls more than the journal has yet.
    """
    message = conversations.message_of(caller=caller, message_id=message_id)
    run = message.run
    if run.status in Run.OPEN:
        events = read_all(message_id)
        head = events[-1].id if events else START
        if head < cursor:
            raise Unavailable(f"Of this answer, event {cursor.major} cannot be read just now. Try again shortly.")
        snapshot = Snapshot.of(events)
        response, thought = "".join(snapshot.text), "".join(snapshot.thought)
        sources, tool_calls = snapshot.sources, snapshot.tool_calls
    else:
        head = EventId(run.head, 0)
        response, thought, sources, tool_calls = message.text, message.thought, message.sources, message.tool_calls
    beat = Worker.objects.filter(name=run.worker).values_list("beat_at", flat=True).first()
    return {
        "message_id": str(message_id),
        "status": run.status,
        "response": response,
        "thought": thought,
        "sources": sources,
        "tool_calls": tool_calls,
        "last_event_id": str(head.major),
        "last_heartbeat_at": beat.isoformat() if beat else None,
        "error": {"code": run.error_code, "message": run.error, "retryable": run.retryable} if run.error_code else None,
    }


def read_all(message_id: uuid.UUID) -> list[Event]:
    """Every event of an answer so far, from broker and journal together."""
    return async_to_sync(_read_all)(message_id)


async def _read_all(message_id: uuid.UUID) -> list[Event]:
    stream = message_stream(message_id)
    broker = connect()
    log = Log(broker)
    events: list[Event] = []
    try:
        while True:
            place = events[-1].id if events else START
            found = (await log.read_many([(stream, place)]))[0].events
            # The broker may never have heard of the end: it was away or full when the journal had it.
            found = found or (await log.read_journaled(stream, place)).events
            if not found:
                return events
            events += found
    finally:
        await broker.close()


@provides_pending
def running_answers(caller: Caller) -> list[Pending]:
    """The caller's answers that are not over, as `message.started` events."""
    open_runs = Run.objects.filter(conversations.seen_by(caller, conversation="message__conversation"), status__in=Run.OPEN)
    rows = open_runs.order_by("created_at").values_list("pk", "message__conversation_id", "status")
    return [
        (Type.MESSAGE_STARTED, {"message_id": str(pk), "conversation_id": str(conversation_id), "status": status})
        for pk, conversation_id, status in rows
    ]


def stop(*, caller: Caller, message_id: uuid.UUID) -> str:
    """Asks for the end of an answer; its status now. A run no worker has claimed ends at once.

    Raises `NotFound`, and `Forbidden` for one who may only read in its room.
    """
    taken = runs.request_stop(caller=caller, message_id=message_id)
    if taken is not None:
        async_to_sync(_end)(taken)
    return Run.objects.values_list("status", flat=True).get(pk=message_id)


async def _end(taken: TakenOver) -> None:
    broker = connect()
    try:
        await end_run(broker, taken, CANCELLED)
    finally:
        await broker.close()


def is_pruned(*, message: Message) -> bool:
    """Whether an ended answer is no longer in the journal."""
    stream = message_stream(message.pk)
    head = journal.heads([stream]).get(stream.name)
    return head is None or head.head == START


def rebuilt_events(message: Message) -> list[Event]:
    """An ended answer as events again, from its row. Only the last has the id it once had; the others have none of their own."""
    run = message.run
    started = {"message_id": str(message.pk), "conversation_id": str(message.conversation_id)}
    content: list[tuple[str, dict[str, Any]]] = [(Type.STARTED, started)]
    if message.thought:
        content.append((Type.REASONING_DELTA, {"block": 1, "text": message.thought}))
    if message.sources or run.context.get("grounding"):
        # An answer from sources tells also that there were none.
        content.append((Type.SOURCES, {"sources": message.sources}))
    content += [each for call in message.tool_calls for each in _tool_events(call)]
    if message.text:
        content.append((Type.TEXT_DELTA, {"block": 1, "text": message.text}))
    ending = Ending(Type(f"run.{run.status}"), run.error_code, run.error, run.retryable, run.finish_reason)
    (terminal,) = last_events(snapshot=Snapshot(head=run.head - 1), ending=ending, conversation_id=message.conversation_id)
    return [*(Event(START, type_, data, terminal.at) for type_, data in content), terminal]


def _tool_events(call: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that `Snapshot` made one of; without what led to the call, a decision for example."""
    yield Type.TOOL_CALL, {name: value for name, value in call.items() if name in TOOL_CALL_FIELDS}
    if "content" in call or "error" in call:
        yield Type.TOOL_RESULT, {name: value for name, value in call.items() if name in TOOL_RESULT_FIELDS}
