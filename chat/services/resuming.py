"""Where a reader of an answer stands, for transports whose frames depend on what was told before."""

import uuid
from dataclasses import dataclass, field

from accounts.caller import Caller
from accounts.threads import in_thread
from chat.models import Run
from chat.services import answers, conversations
from chat.services.questions import message_stream
from events.event import START, Event, EventId
from events.hub import current_hub
from events.streams import Stream


@dataclass(frozen=True, slots=True)
class Standing:
    """What the reader has been told, and the cursor after it. `rest`: all that is left, where the log no longer has it."""

    told: list[Event] = field(default_factory=list)
    cursor: EventId = START
    rest: list[Event] | None = None


async def standing(*, caller: Caller, message_id: uuid.UUID, since: EventId) -> Standing:
    """Where a reader stands who has seen everything up to `since`. Raises `NotFound` and `Unavailable`.

    One who has seen the end too is told the end again, for he asks. A cursor that leads nowhere is the beginning.
    """
    message = await in_thread(conversations.message_of, caller=caller, message_id=message_id)
    run = message.run
    if run.status not in Run.OPEN:
        if await in_thread(answers.is_pruned, message=message):
            events = answers.rebuilt_events(message)
            return Standing(rest=events[-1:] if since.major >= run.head - 1 else events)
        if since.major == run.head:
            since = EventId(run.head - 1, 0)
    told = await _up_to(message_stream(message_id), since)
    # A text that is begun again in its middle must not be taken for its rest.
    return Standing(told, since) if told and told[-1].id == since else Standing()


async def _up_to(stream: Stream, last: EventId) -> list[Event]:
    """The events from the beginning up to `last`, as far as there are any."""
    log, found = current_hub().log, list[Event]()
    while not found or found[-1].id < last:
        reading = await log.read(stream, found[-1].id if found else START)
        if not reading.events or last == START:
            break
        found += reading.events
    return [event for event in found if event.id <= last]
