"""Opening an answer's stream in some dialect, wherever its events still are."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from accounts.authentication import authenticate
from accounts.caller import Caller
from accounts.threads import in_thread
from chat.models import Message, Run
from chat.services import answers, conversations, questions
from events.event import START, EventId
from events.exceptions import BrokerUnavailable
from events.feed import Feed
from events.guard import Guard
from events.hub import current_hub
from events.limits import Slot
from events.paging import parse_id
from events.responses import EventStreamResponse
from events.ring import Encoder
from events.streams import parse_cursor


async def resume(request: HttpRequest, message_id: str, *, dialect: Encoder, location: str) -> HttpResponseBase:
    """The caller's answer after the cursor of the request. Raises `NotFound` also for someone else's, and `TooMany`.

    `location`: the address to come back to, with `{}` for the message's id.
    """
    scope = request.scope  # type: ignore[attr-defined]
    caller = await authenticate(scope)
    id_ = parse_id(message_id, what="message_id")
    message = await in_thread(conversations.message_of, caller=caller, message_id=id_)
    cursor = cursor_of(request, id_)
    return await guarded(scope, caller, lambda: follow(message, cursor, dialect=dialect, location=location))


async def guarded(
    scope: Any, caller: Caller, respond: Callable[[], Awaitable[HttpResponseBase]], *, expired: bytes = b""
) -> HttpResponseBase:
    """A response that takes one of the caller's connections while it is open, and ends with his credentials."""
    slot = await _take_slot(caller)
    try:
        response = await respond()
    except BaseException:
        # Raised again: an answer that could not be opened must not keep a connection of the caller's.
        if slot is not None:
            await slot.give_back()
        raise
    if isinstance(response, EventStreamResponse):
        response.guard, response.expired = Guard(scope, caller), expired
        response.closing = slot.give_back if slot is not None else None
    elif slot is not None:
        await slot.give_back()
    return response


async def follow(message: Message, cursor: EventId, *, dialect: Encoder, location: str) -> HttpResponseBase:
    """The answer after `cursor`: what there is, then live.

    204 when there is nothing after it and never will be: EventSource would ask again and again otherwise.
    A cursor beyond the end means everything.
    """
    response = await _respond(message, cursor, dialect)
    if isinstance(response, EventStreamResponse):
        response.headers["Location"] = location.format(message.pk)
    return response


def cursor_of(request: HttpRequest | Request, message_id: uuid.UUID) -> EventId:
    """The header wins; anything but digits means everything (S0)."""
    text = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or ""
    return parse_cursor(questions.message_stream(message_id), text) or START


async def _take_slot(caller: Caller) -> Slot | None:
    """One of the caller's connections; None while the broker is away: the journal answers without it. Raises `TooMany`."""
    try:
        return await current_hub().slots.take(caller.user_id, replays=False)
    except BrokerUnavailable:
        return None


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
