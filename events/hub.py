"""One per event loop: a short ring per watched stream, refilled by one pipelined read for all that rang."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from events.broker.base import DoorbellListener, Reading
from events.broker.connect import connect
from events.conf import conf
from events.event import EventId
from events.exceptions import BrokerUnavailable, Unavailable
from events.groups import Groups
from events.limits import Slots
from events.log import Log, needs_journal
from events.metrics import DELIVERY_LAG, HUB_READS, WATCHED_STREAMS
from events.ring import Batch, Reader, Ring
from events.streams import Stream

logger = logging.getLogger(__name__)

SHARED_BATCHES = 16
"""How many batches of readers who catch up together are kept at most."""

RETRY_SECONDS = 0.5
"""Pause before a store that is away is asked again."""


class Rung:
    """Rings that wait to be refilled."""

    def __init__(self) -> None:
        self._rings: set[Ring] = set()
        self._bell = asyncio.Event()

    def add(self, *rings: Ring) -> None:
        """Has these rings refilled."""
        self._rings.update(rings)
        self._bell.set()

    def discard(self, ring: Ring) -> None:
        """Nobody watches this one any more."""
        self._rings.discard(ring)

    async def take(self) -> set[Ring]:
        """Waits for the next ones."""
        await self._bell.wait()
        self._bell.clear()
        rings, self._rings = self._rings, set()
        return rings


class Part(Protocol):
    """What lives and ends with a hub."""

    async def close(self) -> None:
        """Lets go of what it holds, by way of the hub's broker."""
        ...


AnyPart = TypeVar("AnyPart", bound=Part)


class Hub:
    """Keeps the rings of one event loop fresh.

    Doorbells say which streams to read; they may be lost, doubled or late, because a sweep
    every EVENTS_SWEEP_SECONDS reads all watched streams anyway. Rings that need the database
    are refilled apart: one that hangs holds up nobody whom the broker can serve.
    """

    def __init__(self) -> None:
        self.broker = connect()
        self.log = Log(self.broker)
        self.slots = Slots(self.broker)
        self.groups = Groups()
        self.closing = False
        self.at_end: set[Callable[[], None]] = set()
        """What else is to be told when the process is about to stop: open sockets."""
        self._parts: dict[Callable[[Hub], Part], Part] = {}
        self.rings: dict[Stream, Ring] = {}
        self._by_name: dict[str, Ring] = {}
        self._shared: dict[int, tuple[Reading, Batch]] = {}
        self._rung = Rung()
        self._cold = Rung()
        self._listener: DoorbellListener | None = None
        self._tasks = [
            asyncio.create_task(self._listen(), name="hub doorbells"),
            asyncio.create_task(self._refill_forever(self._rung, self._refill), name="hub refill"),
            asyncio.create_task(self._refill_forever(self._cold, self._refill_cold), name="hub refill from the journal"),
            asyncio.create_task(self._sweep(), name="hub sweep"),
            asyncio.create_task(self._heal_forever(), name="hub healing"),
            asyncio.create_task(self._keep_alive(), name="hub keep-alive"),
            asyncio.create_task(self.slots.keep_forever(), name="hub slots"),
        ]

    def part(self, make: "Callable[[Hub], AnyPart]") -> "AnyPart":
        """The one presence (or connections, ...) of this event loop, made at its first use and closed with the hub."""
        if make not in self._parts:
            self._parts[make] = make(self)
        return cast("AnyPart", self._parts[make])

    async def join(self, feed: Reader) -> Ring:
        """Adds a reader to the ring of its stream; the first one subscribes."""
        ring = self.rings.get(feed.stream)
        if ring is None:
            ring = self.rings[feed.stream] = self._by_name[feed.stream.name] = Ring(feed.stream)
            ring.feeds.add(feed)
            WATCHED_STREAMS.inc()
            try:
                await self._subscribe(ring)
            except BaseException:
                self._forget(feed, ring)
                raise
        ring.feeds.add(feed)
        return ring

    async def leave(self, feed: Reader, ring: Ring) -> None:
        """Takes a reader away; the last one unsubscribes."""
        if self._forget(feed, ring):
            await self._unsubscribe(ring)

    def _forget(self, feed: Reader, ring: Ring) -> bool:
        """Takes a reader away; whether it was the last one."""
        ring.feeds.discard(feed)
        if ring.feeds or self.rings.get(ring.stream) is not ring:
            return False
        del self.rings[ring.stream], self._by_name[ring.stream.name]
        self._rung.discard(ring)
        self._cold.discard(ring)
        WATCHED_STREAMS.dec()
        return True

    def ring_all(self) -> None:
        """Has every watched stream read."""
        self._rung.add(*self.rings.values())

    def ask_again(self, ring: Ring) -> None:
        """Wakes the readers of a ring, after a pause, as soon as it can be read."""
        if not ring.disturbed:
            ring.disturbed = True
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._rung.add, ring)

    def shared_batch(self, reading: Reading) -> Batch:
        """One batch for all readers who were given the same reading: it is compacted and encoded once."""
        known = self._shared.get(id(reading))
        if known is None or known[0] is not reading:
            if len(self._shared) >= SHARED_BATCHES:
                self._shared.clear()
            known = self._shared[id(reading)] = (reading, Batch(reading.events, reason=reading.reason))
        return known[1]

    def end_feeds(self) -> None:
        """Ends every feed at its next event boundary: the process is about to stop."""
        self.closing = True
        for ring in self.rings.values():
            ring.wake()
        for tell in tuple(self.at_end):
            tell()

    async def close(self) -> None:
        """Ends the feeds and lets go of connections."""
        self.end_feeds()
        for part in self._parts.values():
            await part.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.groups.close()
        await self.log.close()
        await self.broker.close()

    async def _subscribe(self, ring: Ring) -> None:
        if self._listener is not None:
            try:
                await self._listener.add(ring.stream)
                return
            except BrokerUnavailable:
                logger.warning("No doorbells: the broker is away.")
        # Without doorbells the sweep serves; the listener subscribes to everything when it is back.
        self._rung.add(ring)

    async def _unsubscribe(self, ring: Ring) -> None:
        if self._listener is None:
            return
        try:
            await self._listener.remove(ring.stream)
            if self.rings.get(ring.stream) is not None:
                # Someone joined while UNSUBSCRIBE was on its way.
                await self._listener.add(ring.stream)
        except BrokerUnavailable:
            logger.warning("No doorbells: the broker is away.")

    async def _listen(self) -> None:
        """Hears doorbells; after a lost connection subscribes again, and rings for all that may have been missed."""
        while True:
            try:
                async with self.broker.doorbells() as listener:
                    # First: whoever joins from here on subscribes by itself.
                    self._listener = listener
                    for ring in list(self.rings.values()):
                        await listener.add(ring.stream)
                    self.ring_all()
                    await self._hear(listener)
            except BrokerUnavailable as error:
                logger.warning("Doorbells are silent: %s", error.__cause__ or error)
            except Exception:
                logger.exception("Doorbells are silent.")
            finally:
                self._listener = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, listener: DoorbellListener) -> None:
        if not self.rings:
            # redis-py reads only on a connection that has been subscribed once.
            await listener.add(Stream("user", "-"))
        async for name in listener:
            ring = self._by_name.get(name)
            if ring is not None:
                self._rung.add(ring)

    async def _refill_forever(self, rung: Rung, refill: Callable[[set[Ring]], Awaitable[None]]) -> None:
        while True:
            rings = await rung.take()
            try:
                await refill(rings)
            except Unavailable as error:
                logger.warning("Readers wait: %s", error.message)
                # What rang is still to be read; the pause keeps a dead store from being hammered.
                await asyncio.sleep(RETRY_SECONDS)
                rung.add(*(ring for ring in rings if ring.feeds))
            except Exception:
                # A mistake of ours must not stop every reader of the process; the sweep tries again.
                logger.exception("The hub could not refill %d rings.", len(rings))
                await asyncio.sleep(RETRY_SECONDS)

    async def _refill(self, rung: set[Ring]) -> None:
        """Refills rings from the broker; those that need the journal are left to `_refill_cold`."""
        HUB_READS.inc()
        new = [ring for ring in rung if ring.head is None]
        self._cold.add(*(ring for ring in new if ring.stream.durable))
        await self._start([ring for ring in new if not ring.stream.durable])
        positions = [(ring, ring.head) for ring in rung if ring.head is not None and ring not in new]
        lost: Unavailable | None = None
        for start in range(0, len(positions), 256):
            part = positions[start : start + 256]
            readings = await self.log.read_hot([(ring.stream, head) for ring, head in part])
            for (ring, head), reading in zip(part, readings, strict=True):
                if isinstance(reading, Unavailable):
                    lost = reading
                elif needs_journal(ring.stream, reading):
                    self._cold.add(ring)
                else:
                    await self._take(ring, head, reading)
        if lost is not None:
            raise lost

    async def _refill_cold(self, rung: set[Ring]) -> None:
        await self._start([ring for ring in rung if ring.head is None])
        positions = [(ring, ring.head) for ring in rung if ring.head is not None]
        readings = await self.log.read_many([(ring.stream, head) for ring, head in positions])
        for (ring, head), reading in zip(positions, readings, strict=True):
            await self._take(ring, head, reading)

    async def _start(self, rings: list[Ring]) -> None:
        if rings:
            heads = await self.log.heads([ring.stream for ring in rings])
            for ring in rings:
                ring.start(heads[ring.stream].id)
                ring.wake()

    async def _take(self, ring: Ring, head: EventId, reading: Reading) -> None:
        """Gives a ring what was read after `head`."""
        if ring.head != head:
            # It was refilled meanwhile from the other tier, or began again.
            self._rung.add(ring)
            return
        if not reading.continuous:
            await self._start([ring])
        elif reading.events:
            DELIVERY_LAG.observe(max(0.0, time.time() - reading.events[-1].at / 1000))
            ring.extend(reading.events)
            ring.wake()
            if len(reading.events) >= conf.EVENTS_READ_BATCH:
                self._rung.add(ring)
        elif ring.disturbed:
            ring.wake()
        ring.disturbed = False

    async def _sweep(self) -> None:
        """Reads every watched stream now and then."""
        while True:
            await asyncio.sleep(conf.EVENTS_SWEEP_SECONDS)
            self.ring_all()

    async def _heal_forever(self) -> None:
        """Compares durable streams with the journal now and then.

        Who commits an event may die before telling the broker: only the journal knows then. (Of
        a stream that is being written the journal is behind the broker.)
        """
        while True:
            await asyncio.sleep(conf.EVENTS_SWEEP_SECONDS)
            live = [ring for ring in self.rings.values() if ring.stream.durable and not ring.ended and ring.head is not None]
            try:
                await self._heal(live)
            except Unavailable as error:
                logger.warning("Streams could not be compared with the journal: %s", error.message)
            except Exception:
                logger.exception("Streams could not be compared with the journal.")

    async def _heal(self, rings: list[Ring]) -> None:
        if not rings:
            return
        heads = await self.log.heads([ring.stream for ring in rings])
        for ring in rings:
            head, mine = heads[ring.stream], ring.head
            if mine is not None and (head.journaled > mine or (head.ended and head.id != mine)):
                # Readers that stand before the new floor find the rest in the journal.
                ring.start(head.id)
                ring.wake()

    async def _keep_alive(self) -> None:
        """One clock for all connections: wakes feeds that have been quiet for SSE_KEEPALIVE_SECONDS."""
        while True:
            await asyncio.sleep(min(1.0, conf.SSE_KEEPALIVE_SECONDS / 4))
            due = time.monotonic() - conf.SSE_KEEPALIVE_SECONDS
            for ring in list(self.rings.values()):
                for feed in list(ring.feeds):
                    feed.keep_alive(due)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current_hub() -> Hub:
    """The hub of the running event loop, started at its first use."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub


async def close_hub() -> None:
    """Closes the hub of the running event loop, if there is one."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.close()
