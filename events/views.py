"""Addresses of the engine: the user feed, and what operators ask."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.authentication import authenticate
from events import sse
from events.conf import conf
from events.event import EventId
from events.feed import Feed
from events.hub import Batch, Hub, current_hub
from events.responses import EventStreamResponse, stream_endpoint
from events.streams import Stream, parse_cursor
from events.userfeed import UserFeedDialect, truncated_frame


@stream_endpoint("GET")
async def user_feed(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/events`: everything that happens to the caller, live; with a cursor first what was missed."""
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    stream = Stream("user", caller.user_id)
    dialect = UserFeedDialect(stream)
    if not conf.ENABLE_SSE_PUSH:
        return EventStreamResponse(feed=None, encoder=dialect, prelude=sse.PUSH_DISABLED)
    hub = current_hub()
    text = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or ""
    cursor, prelude = await _start(hub, stream, text)
    limit = conf.EVENTS_REPLAY_MAX_PER_REQUEST if text else None
    feed = Feed(hub=hub, stream=stream, cursor=cursor, replay_limit=limit)
    return EventStreamResponse(feed=feed, encoder=dialect, prelude=prelude, truncated=truncated_frame)


async def _start(hub: Hub, stream: Stream, text: str) -> tuple[EventId, bytes]:
    """Where to begin, and what to say first: live without a cursor, from the start with a malformed one."""
    prelude = sse.CONNECTED + sse.retry(200)
    if not text:
        return (await hub.log.heads([stream]))[stream].id, prelude
    cursor = parse_cursor(stream, text)
    if cursor is not None:
        return cursor, prelude
    oldest = await hub.log.read(stream, EventId(0, 0))
    return EventId(0, 0), prelude + truncated_frame(Batch(oldest.events[:1], reason="malformed"))
