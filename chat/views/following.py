"""Opening an answer's stream in some dialect, wherever its events still are."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from accounts.caller import Caller
from accounts.threads import in_thread
from chat.models import Message, Run
from chat.services import answers, questions
from events.event import START, EventId
from events.exceptions import BrokerUnavailable
from events.feed import Feed
from events.guard import Guard
from events.hub import current_hub
from events.limits import Slot
from events.responses import EventStreamResponse
from events.ring import Encoder


async def take_slot(caller: Caller) -> Slot | None:
    """One of the caller's connections; None while the broker is away: the journal answers without it. Raises `TooMany`."""
    try:
        return await current_hub().slots.take(caller.user_id, replays=False)
    except BrokerUnavailable:
        return None


async def follow(
    message: Message,
    cursor: EventId,
    *,
    dialect: Encoder,
    location: str,
    guard: Guard | None = None,
    slot: Slot | None = None,
) -> HttpResponseBase:
    """The answer after `cursor`: what there is, then live.

    204 when there is nothing after it and never will be: EventSource would ask again and again otherwise.
    A cursor beyond the end means everything. The slot is given back whatever happens.
    """
    try:
        response = await _respond(message, cursor, dialect)
    except BaseException:
        if slot is not None:
            await slot.give_back()
        raise
    if isinstance(response, EventStreamResponse):
        response.headers["Location"] = location
        response.guard = guard
        response.closing = slot.give_back if slot is not None else None
    elif slot is not None:
        await slot.give_back()
    return response


async def _respond(message: Message, cursor: EventId, dialect: Encoder) -> HttpResponseBase:
    run = message.run
    if run.status not in Run.OPEN:
        if cursor.major == run.head:
            return HttpResponse(status=204)
        if await in_thread(answers.is_pruned, message=message):
            return _told_from_row(message, dialect)
        cursor = cursor if cursor.major < run.head else START
    feed = Feed(hub=current_hub(), stream=questions.message_stream(message.pk), cursor=cursor)
    return EventStreamResponse(feed=feed, encoder=dialect)


def _told_from_row(message: Message, dialect: Encoder) -> EventStreamResponse:
    """An answer whose journal is pruned."""
    frames = b"".join(map(dialect.frame, answers.rebuilt_events(message)))
    return EventStreamResponse(feed=None, encoder=dialect, prelude=b":\n" + frames)
