"""One per connection: a cursor that moves over the log."""

import asyncio
import math
import time
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from events.broker.base import Reading
from events.event import START, EventId
from events.exceptions import Unavailable
from events.hub import Hub
from events.metrics import DELIVERED, OPEN_FEEDS
from events.ring import Batch, Ring
from events.streams import Stream

KEEPALIVE = Batch([])
"""Nothing happened for SSE_KEEPALIVE_SECONDS."""


class Feed:
    """Reads one stream from a cursor on, forever: ring, else log, else waits. Use it with `async with`.

    `cursor` is the place of the last event handed out; `replay_limit` ends the feed after so
    many replayed events if there are more (None: never), so that a reader comes back for the
    rest instead of live events jumping the queue. `reason` says why the reader's own cursor
    could not be used; it is told with the first batch.
    """

    def __init__(self, *, hub: Hub, stream: Stream, cursor: EventId, replay_limit: int | None = None, reason: str = "") -> None:
        self.hub = hub
        self.stream = stream
        self.cursor = cursor
        self.sent_at = time.monotonic()
        self.look_by = math.inf
        """Monotonic time by which `next` gives `KEEPALIVE` if nothing else, for a reader who has something to do then."""
        self._replay_left = replay_limit
        self._reason = reason
        self._generation = -1
        self._ring: Ring | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._looking: asyncio.Task[Batch | None] | None = None
        self._patience: asyncio.Future[None] | None = None
        self._wakes = 0
        self._quiet = False
        self._done = False
        self._delivered = DELIVERED.labels(stream.kind)

    async def __aenter__(self) -> Self:
        OPEN_FEEDS.labels(self.stream.kind).inc()
        try:
            self._ring = await self.hub.join(self)
        except BaseException:
            OPEN_FEEDS.labels(self.stream.kind).dec()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        OPEN_FEEDS.labels(self.stream.kind).dec()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        if self._ring is not None:
            await self.hub.leave(self, self._ring)

    def stop(self) -> None:
        """Ends the feed."""
        self._done = True
        self.wake()

    def wake(self) -> None:
        """Has a waiting feed look again."""
        for each in (self._waiter, self._patience):
            if each is not None and not each.done():
                each.set_result(None)

    def give_notice(self) -> None:
        """Has `next` give `KEEPALIVE` soon if nothing else, for a reader who has something to do."""
        self.look_by = 0.0
        self.keep_alive(self.look_by)

    def keep_alive(self, due: float) -> None:
        """Has a waiting feed hand out `KEEPALIVE` if it was last used before the monotonic time `due`, or it is `look_by`."""
        waits = self._waiter is not None or self._patience is not None
        if waits and (self.sent_at <= due or time.monotonic() >= self.look_by):
            self._quiet = True
            self.wake()

    async def next(self) -> Batch | None:
        """The next events, `KEEPALIVE`, or None at the end (of stream, page or process)."""
        ring = self._ring
        if ring is None:
            raise RuntimeError("Use the feed with `async with`.")
        while not self._over():
            if self._looking is None:
                self._wakes = ring.wakes
            batch = await self._looked(ring)
            # A wake-up that passed during the look found nobody waiting: look again.
            if batch is None and ring.wakes == self._wakes and not self._over():
                batch = await self._wait(ring)
            if batch is not None:
                self.sent_at = time.monotonic()
                return self._handed_out(batch)
        return None

    async def look(self) -> Batch | None:
        """What follows the cursor and is there already; None: nothing, or no store can say (`wake` is called when one can)."""
        if self._ring is None:
            raise RuntimeError("Use the feed with `async with`.")
        batch = None if self._over() else await self._look(self._ring)
        return None if batch is None else self._handed_out(batch)

    @property
    def caught_up(self) -> bool:
        """Whether the log was asked and holds nothing after the cursor, as far as this process has heard."""
        ring = self._ring
        return ring is not None and ring.generation == self._generation and ring.batch(self.cursor) is None

    def _over(self) -> bool:
        return self._done or self.hub.closing

    async def _looked(self, ring: Ring) -> Batch | None:
        """What a look gives. While a store hangs that has to be asked, the reader is still told that he is connected."""
        if self._looking is None:
            if not self._must_read(ring):
                return await self._look(ring)
            self._looking = asyncio.create_task(self._look(ring), name=f"feed reads {self.stream.name}")
        while not self._over():
            self._patience = asyncio.get_running_loop().create_future()
            awaited: set[asyncio.Future[Any]] = {self._looking, self._patience}
            try:
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._patience = None
            if self._looking.done():
                looking, self._looking = self._looking, None
                return looking.result()
            quiet, self._quiet = self._quiet, False
            if quiet:
                return KEEPALIVE
        return None

    async def _look(self, ring: Ring) -> Batch | None:
        batch = ring.batch(self.cursor) if ring.generation == self._generation else None
        if batch is None and self._must_read(ring):
            batch = await self._read(ring)
        return batch

    def _handed_out(self, batch: Batch) -> Batch:
        """Moves on; not where it was found: a look may end between a sign of life and the reader's next question."""
        self._delivered.inc(len(batch.events))
        if batch.last is not None:
            self.cursor = batch.last
        self._done = self._done or batch.terminal
        return batch

    def _must_read(self, ring: Ring) -> bool:
        """Whether only the log can say what follows: at the start, behind the ring, or after the stream changed."""
        return ring.generation != self._generation or self._behind(ring)

    def _behind(self, ring: Ring) -> bool:
        return ring.floor is not None and self.cursor < ring.floor

    async def _read(self, ring: Ring) -> Batch | None:
        generation = ring.generation
        try:
            reading = await self._reading(ring)
        except Unavailable:
            self.hub.ask_again(ring)
            return None
        if reading.events:
            return self._page(reading)
        if reading.reason:
            return Batch([], reason=reading.reason, last=self.cursor)
        # Caught up: from here on the ring serves.
        self._generation = generation
        self._replay_left = None
        return ring.batch(self.cursor) if ring.generation == generation else None

    async def _reading(self, ring: Ring) -> Reading:
        log = self.hub.log
        reading = await log.read(self.stream, self.cursor)
        if self._reason:
            reading = replace(reading, continuous=False, reason=self._reason)
        if not reading.continuous and not reading.events:
            # Nothing is retained, or the cursor lies beyond the head.
            reading = await self._begin_anew(reading.reason)
        self._reason = ""
        if reading.reason:
            return reading
        if not reading.events and self.stream.durable and self._behind(ring):
            # The stream goes further than the broker can say: the rest is in the journal alone.
            return await log.read_journaled(self.stream, self.cursor)
        return reading

    async def _begin_anew(self, reason: str) -> Reading:
        """All that is retained, for a cursor that leads nowhere; where nothing is, the head is the cursor from now on."""
        log = self.hub.log
        # The head is taken first: what is appended meanwhile is read, or comes after it.
        head = (await log.heads([self.stream]))[self.stream].id
        everything = await log.read(self.stream, START)
        # What cannot be read of a durable stream is yet to be journaled: nothing may be passed over.
        self.cursor = START if everything.events or self.stream.durable else head
        return replace(everything, reason=reason)

    def _page(self, reading: Reading) -> Batch | None:
        """What was read, as far as the replay limit allows."""
        if self._replay_left is None:
            return self.hub.shared_batch(reading)
        if self._replay_left <= 0:
            self._done = True
            return None
        if len(reading.events) <= self._replay_left:
            self._replay_left -= len(reading.events)
            return self.hub.shared_batch(reading)
        events = reading.events[: self._replay_left]
        self._replay_left -= len(events)
        return Batch(events, reason=reading.reason)

    async def _wait(self, ring: Ring) -> Batch | None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        quiet, self._quiet = self._quiet, False
        return KEEPALIVE if quiet and ring.batch(self.cursor) is None else None
