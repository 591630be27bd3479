"""Reading a stream after a cursor, from the nearest tier that still holds that position."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from accounts.threads import in_thread
from events import journal
from events.broker.base import BaseBroker, Reading
from events.conf import conf
from events.event import START, Event, EventId
from events.exceptions import BrokerUnavailable, JournalUnavailable, Unavailable
from events.journal import JournalHead
from events.metrics import LOG_READS
from events.streams import Stream

Position = tuple[Stream, EventId]


@dataclass(frozen=True, slots=True)
class Head:
    """The last id of a stream as far as this process can know, that in the journal, and whether the stream has ended."""

    id: EventId
    ended: bool = False
    journaled: EventId = START


class Log:
    """Broker and journal as one log, for one event loop.

    Reads of many readers travel together: while one round trip is under way the next
    collects, and readers at the same position share one answer. Each tier has a line of
    its own, so that a database that is away does not hold up those whom the broker serves.
    """

    def __init__(self, broker: BaseBroker) -> None:
        self.broker = broker
        self._hot = _Line(self._serve_hot, name="log reads: broker")
        self._cold = _Line(self._serve_cold, name="log reads: journal")

    async def read(self, stream: Stream, cursor: EventId) -> Reading:
        """What follows `cursor`, at most EVENTS_READ_BATCH events. Raises `Unavailable` when no tier can answer."""
        return await self._hot.ask((stream, cursor), None)

    async def read_journaled(self, stream: Stream, cursor: EventId) -> Reading:
        """What the journal alone holds after `cursor`: for those who know that the broker is behind it."""
        return await self._cold.ask((stream, cursor), Reading([], exists=False))

    async def read_many(self, positions: Sequence[Position]) -> list[Reading]:
        """`read` for several positions in one round trip of each tier.

        A durable stream that the broker does not hold from the cursor on is read from the
        journal. Raises `BrokerUnavailable` only for backlogs, `JournalUnavailable` only when
        the journal is needed.
        """
        readings = []
        for reading in await self.read_hot(positions):
            if isinstance(reading, Unavailable):
                raise reading
            readings.append(reading)
        missing = [
            number
            for number, (position, reading) in enumerate(zip(positions, readings, strict=True))
            if needs_journal(position[0], reading)
        ]
        if missing:
            cold = await self.read_cold([(*positions[number], readings[number]) for number in missing])
            for number, reading in zip(missing, cold, strict=True):
                readings[number] = reading
        return readings

    async def read_hot(self, positions: Sequence[Position]) -> list[Reading | Unavailable]:
        """What the broker says; see `needs_journal`. While it is away durable streams do not exist and backlogs are errors."""
        LOG_READS.labels("broker").inc(len(positions))
        try:
            return list(await self.broker.read(positions, limit=conf.EVENTS_READ_BATCH))
        except BrokerUnavailable as error:
            return [Reading([], exists=False) if stream.durable else error for stream, _ in positions]

    async def read_cold(self, positions: Sequence[tuple[Stream, EventId, Reading]]) -> list[Reading]:
        """What both tiers together say about positions, given what the broker said. Raises `JournalUnavailable`."""
        return await in_thread(_with_journal, positions)

    async def heads(self, streams: Sequence[Stream]) -> dict[Stream, Head]:
        """How far each stream goes. Durable streams: the further of broker and journal, or of the one that answers."""
        durable = [stream for stream in streams if stream.durable]
        lost: Unavailable | None = None
        journaled: dict[str, JournalHead] = {}
        if durable:
            try:
                journaled = await in_thread(journal.heads, durable)
            except JournalUnavailable as error:
                lost = error
        try:
            hot = await self.broker.heads(streams)
        except BrokerUnavailable:
            if lost is not None or len(durable) < len(streams):
                raise
            hot = [START] * len(streams)
        result = {}
        for stream, head in zip(streams, hot, strict=True):
            cold = journaled.get(stream.name)
            result[stream] = Head(max(head, cold.head), cold.ended, cold.head) if cold else Head(head)
        return result

    async def close(self) -> None:
        """Stops reading; whoever waits hears that the log is away."""
        self._hot.close()
        self._cold.close()

    async def _serve_hot(self, line: "_Waiting") -> None:
        readings = await self.read_hot(list(line))
        for (position, (future, _)), reading in zip(line.items(), readings, strict=True):
            if isinstance(reading, Reading) and needs_journal(position[0], reading):
                self._cold.pass_on(position, reading, future)
            else:
                _settle(future, reading)

    async def _serve_cold(self, line: "_Waiting") -> None:
        positions = [(*position, hot or Reading([], exists=False)) for position, (_, hot) in line.items()]
        for (future, _), reading in zip(line.values(), await self.read_cold(positions), strict=True):
            _settle(future, reading)


_Future = asyncio.Future[Reading]
_Waiting = dict[Position, tuple[_Future, Reading | None]]


class _Line:
    """Positions that wait for one tier, up to 64 of them served at once. With what the tier before said of each."""

    def __init__(self, serve: Callable[[_Waiting], Awaitable[None]], *, name: str) -> None:
        self._serve = serve
        self._name = name
        self._waiting: _Waiting = {}
        self._served: _Waiting = {}
        self._pump: asyncio.Task[None] | None = None

    async def ask(self, position: Position, before: Reading | None) -> Reading:
        # Shielded: a reader that leaves must not take the answer from the others who wait for it.
        return await asyncio.shield(self._enter(position, before))

    def pass_on(self, position: Position, before: Reading, future: _Future) -> None:
        """Settles `future` as soon as this tier has answered."""
        self._enter(position, before).add_done_callback(partial(_copy, future))

    def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        for future, _ in (*self._served.values(), *self._waiting.values()):
            _settle(future, Unavailable("The server is stopping."))

    def _enter(self, position: Position, before: Reading | None) -> _Future:
        if position not in self._waiting:
            self._waiting[position] = (asyncio.get_running_loop().create_future(), before)
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._serve_all(), name=self._name)
        return self._waiting[position][0]

    async def _serve_all(self) -> None:
        while self._waiting:
            self._served = dict(list(self._waiting.items())[:64])
            for position in self._served:
                del self._waiting[position]
            try:
                await self._serve(self._served)
            except Exception as error:
                # Whatever it was, everyone who waits for this answer must hear of it.
                for future, _ in self._served.values():
                    _settle(future, error)


def _settle(future: _Future, reading: Reading | Exception) -> None:
    if future.done():
        return
    if isinstance(reading, Exception):
        future.set_exception(reading)
        # Everyone who waited may have left; an exception nobody fetches must not be logged as lost.
        future.exception()
    else:
        future.set_result(reading)


def _copy(target: _Future, source: _Future) -> None:
    error = source.exception()
    _settle(target, error if isinstance(error, Exception) else source.result())


def needs_journal(stream: Stream, reading: Reading) -> bool:
    """Whether the broker's answer says too little: it does not hold a durable stream from the cursor on."""
    return stream.durable and not (reading.exists and reading.continuous)


def _with_journal(positions: Sequence[tuple[Stream, EventId, Reading]]) -> list[Reading]:
    LOG_READS.labels("journal").inc(len(positions))
    known = journal.heads([stream for stream, _, _ in positions])
    result = []
    for stream, cursor, hot in positions:
        head = known.get(stream.name)
        events = journal.read(stream, cursor, limit=conf.EVENTS_READ_BATCH) if head is not None and head.head > cursor else []
        result.append(_merge(cursor, hot, head, events))
    return result


def _merge(cursor: EventId, hot: Reading, head: JournalHead | None, events: list[Event]) -> Reading:
    """What both tiers say together about a position that the broker alone could not answer."""
    if events:
        return Reading(events)
    if head is None:
        return hot
    if cursor > head.head and (head.ended or hot.reason == "unknown_cursor"):
        # It ended before the cursor, or the broker holds it and knows no more than the journal: the cursor is from elsewhere.
        return Reading([], continuous=False, reason="unknown_cursor")
    # A gap that the journal does not fill yet, or a broker that is behind: wait, never advance over it.
    return replace(hot, events=[], exists=True, continuous=True, reason="")
