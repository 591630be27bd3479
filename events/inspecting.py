"""Looking inside streams: for the admin and for `tail_stream`. Nothing here writes."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.db.models import QuerySet

from accounts.threads import in_thread
from events import journal
from events.broker.connect import connect
from events.event import START, Event, EventId
from events.exceptions import InvalidRequest, NotFound
from events.feed import KEEPALIVE, Feed
from events.hub import close_hub, current_hub
from events.log import Log
from events.models import DurableStream, JournalEvent
from events.ring import Batch
from events.streams import Stream, parse_cursor

PAGE = 50
MATCHING_STREAMS = 200
RECENT_EVENTS = 10_000
NOW = "now"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the log holds of one stream at this moment, or a page of it."""

    stream: Stream
    head: EventId
    """The last id ever given out."""
    ended: bool
    journaled: EventId | None
    """How far the journal goes; None for streams that have none."""
    retained: int
    """How many events the log holds."""
    events: list[Event]
    """Newest first."""
    older: EventId | None
    """What to give as `before` for the page after this one; None on the last."""


def look(*, stream: Stream, before: EventId | None = None, limit: int = PAGE) -> Backlog:
    """The newest events of a stream, or those before a position. Raises `Unavailable` when its stores are away."""
    return async_to_sync(_look)(stream, before, limit)


async def _look(stream: Stream, before: EventId | None, limit: int) -> Backlog:
    async with _reading() as log:
        head = (await log.heads([stream]))[stream]
        journaled = (await in_thread(journal.heads, [stream])).get(stream.name) if stream.durable else None
        page = _durable_page if stream.durable else _backlog_page
        events, retained, older = await page(log, stream, head.id, before, limit)
        return Backlog(
            stream=stream,
            head=head.id,
            ended=head.ended,
            journaled=journaled.head if journaled else None,
            retained=retained,
            events=events[::-1],
            older=older,
        )


async def _durable_page(
    log: Log, stream: Stream, head: EventId, before: EventId | None, limit: int
) -> tuple[list[Event], int, EventId | None]:
    """Ids are dense: the page begins where it must."""
    last = head.major if before is None else min(head.major, before.major - 1)
    start = max(0, last - limit)
    events: list[Event] = []
    async for batch in _batches(log, stream, EventId(start, 0)):
        events += (event for event in batch if event.id.major <= last)
        if batch[-1].id.major >= last:
            break
    return events, head.major, EventId(start + 1, 0) if start else None


async def _backlog_page(
    log: Log,
    stream: Stream,
    head: EventId,  # noqa: ARG001 - as `_durable_page`
    before: EventId | None,
    limit: int,
) -> tuple[list[Event], int, EventId | None]:
    """A backlog is bounded and is read whole; only a page of it is kept."""
    kept: deque[Event] = deque(maxlen=limit)
    retained = matching = 0
    async for batch in _batches(log, stream, START):
        retained += len(batch)
        wanted = [event for event in batch if before is None or event.id < before]
        matching += len(wanted)
        kept.extend(wanted)
    return list(kept), retained, kept[0].id if matching > len(kept) else None


async def _batches(log: Log, stream: Stream, cursor: EventId) -> AsyncGenerator[list[Event], None]:
    while True:
        reading = (await log.read_many([(stream, cursor)]))[0]
        if not reading.events:
            return
        yield reading.events
        cursor = reading.events[-1].id


@asynccontextmanager
async def _reading() -> AsyncIterator[Log]:
    broker = connect()
    try:
        yield Log(broker)
    finally:
        await broker.close()


def named_stream(name: str) -> Stream:
    """The stream that a person names; raises `InvalidRequest`. Names that no store could hold are refused here."""
    if not name.isprintable():
        raise InvalidRequest("A stream's name has no control characters.")
    return Stream.parse(name.strip())


async def starting_point(*, stream: Stream, since: str) -> EventId:
    """The position that a person names: a cursor, `0` or `now`.

    Raises `InvalidRequest` for anything else, `NotFound` for a durable stream that does not exist, `Unavailable`.
    """
    cursor = START if since == NOW else parse_cursor(stream, since)
    if cursor is None:
        form = "digits" if stream.durable else "ms-n such as 1718000000000-0"
        raise InvalidRequest(f"A cursor of a {stream.kind} stream is {form}, or 0, or {NOW}; not {since!r}.")
    async with _reading() as log:
        if stream.durable and not (await log.read_many([(stream, START)]))[0].exists:
            raise NotFound(f"There is no stream {stream.name}: it never began, or its journal is pruned.")
        return (await log.heads([stream]))[stream].id if since == NOW else cursor


async def follow(*, stream: Stream, cursor: EventId, live: bool) -> AsyncGenerator[Batch, None]:
    """What follows a cursor, up to the terminal event; with `live` also what is still to come, else up to now.

    Pieces of one text that are read together come joined. A batch with a `reason` says that events before it are
    missing. Close the generator to stop. Raises `Unavailable` when no store answers at the start.
    """
    async with _reading() as log:
        while True:
            reading = (await log.read_many([(stream, cursor)]))[0]
            batch = Batch(reading.events, reason=reading.reason)
            if batch.events or batch.reason:
                yield batch
            if batch.terminal:
                return
            if not reading.events and (reading.continuous or cursor == START):
                break
            cursor = batch.last or START
    if live:
        async for batch in _live(stream, cursor):
            yield batch


async def _live(stream: Stream, cursor: EventId) -> AsyncGenerator[Batch, None]:
    try:
        async with Feed(hub=current_hub(), stream=stream, cursor=cursor) as feed:
            while (batch := await feed.next()) is not None:
                if batch is not KEEPALIVE:
                    yield batch
    finally:
        await close_hub()


def parse_before(stream: Stream, text: str) -> EventId | None:
    """The `before` of a page (empty: none); raises `InvalidRequest`."""
    if not text:
        return None
    before = parse_cursor(stream, text)
    if before is None:
        raise InvalidRequest("`before` must be the id of an event of this stream.")
    return before


def streams_like(streams: QuerySet[DurableStream], text: str) -> QuerySet[DurableStream]:
    """Those whose name begins with a text. Case counts: so the index on names serves."""
    return streams.filter(name__startswith=text) if text else streams


def events_like(events: QuerySet[JournalEvent], text: str) -> QuerySet[JournalEvent]:
    """The events of the first MATCHING_STREAMS streams whose name begins with a text.

    The streams are looked up first: joined instead, a text such as `message:` would read the whole journal.
    """
    found = DurableStream.objects.filter(name__startswith=text).order_by("name").values_list("pk", flat=True)
    return events.filter(stream_id__in=list(found[:MATCHING_STREAMS]))


def recent_events(events: QuerySet[JournalEvent]) -> QuerySet[JournalEvent]:
    """Those among the RECENT_EVENTS events journaled last, whatever their stream."""
    newest = JournalEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    return events.filter(pk__gt=newest - RECENT_EVENTS)
