"""Reading a stream after a cursor, from the nearest tier that still holds that position."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accounts.threads import in_thread
from events import journal
from events.broker.base import BaseBroker, Reading
from events.conf import conf
from events.event import START, EventId
from events.exceptions import BrokerUnavailable
from events.metrics import LOG_READS
from events.streams import Stream

Position = tuple[Stream, EventId]


@dataclass(frozen=True, slots=True)
class Head:
    """The last id of a stream as far as this process can know, and whether the stream has ended."""

    id: EventId
    ended: bool = False


class Log:
    """Broker and journal as one log, for one event loop.

    Reads of many readers travel together: while one round trip is under way the next
    collects, and readers at the same position share one answer.
    """

    def __init__(self, broker: BaseBroker) -> None:
        self.broker = broker
        self._waiting: dict[Position, asyncio.Future[Reading]] = {}
        self._pump: asyncio.Task[None] | None = None

    async def read(self, stream: Stream, cursor: EventId) -> Reading:
        """What follows `cursor`, at most EVENTS_READ_BATCH events. Raises `Unavailable` when no tier can answer."""
        future = self._waiting.get((stream, cursor))
        if future is None:
            future = self._waiting[(stream, cursor)] = asyncio.get_running_loop().create_future()
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._serve(), name="log reads")
        # Shielded: a reader that leaves must not take the answer from the others who wait for it.
        return await asyncio.shield(future)

    async def _serve(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            positions = list(waiting)
            for start in range(0, len(positions), 64):
                part = positions[start : start + 64]
                try:
                    readings: Sequence[Reading | BaseException] = await self.read_many(part)
                except Exception as error:
                    # Whatever it was, everyone who waits for this answer must hear of it.
                    readings = [error] * len(part)
                for position, reading in zip(part, readings, strict=True):
                    _settle(waiting[position], reading)

    async def read_many(self, positions: Sequence[Position]) -> list[Reading]:
        """`read` for several positions in one round trip of each tier.

        A durable stream that the broker does not hold from the cursor on is read from the
        journal. Raises `BrokerUnavailable` only for backlogs, `JournalUnavailable` only when
        the journal is needed.
        """
        readings = await self._from_broker(positions)
        missing = [
            number
            for number, ((stream, _), reading) in enumerate(zip(positions, readings, strict=True))
            if stream.durable and not (reading.exists and reading.continuous)
        ]
        if missing:
            cold = await in_thread(_from_journal, [positions[number] for number in missing])
            for number, reading in zip(missing, cold, strict=True):
                readings[number] = _merge(readings[number], reading)
        return readings

    async def _from_broker(self, positions: Sequence[Position]) -> list[Reading]:
        LOG_READS.labels("broker").inc(len(positions))
        try:
            return await self.broker.read(positions, limit=conf.EVENTS_READ_BATCH)
        except BrokerUnavailable:
            if not all(stream.durable for stream, _ in positions):
                raise
            return [Reading([], exists=False) for _ in positions]

    async def heads(self, streams: Sequence[Stream]) -> dict[Stream, Head]:
        """How far each stream goes. Durable streams: the further of broker and journal."""
        durable = [stream for stream in streams if stream.durable]
        journaled = await in_thread(journal.heads, durable) if durable else {}
        try:
            hot = await self.broker.heads(streams)
        except BrokerUnavailable:
            if len(durable) < len(streams):
                raise
            hot = [START] * len(streams)
        result = {}
        for stream, head in zip(streams, hot, strict=True):
            cold = journaled.get(stream.name)
            result[stream] = Head(max(head, cold.head), cold.ended) if cold else Head(head)
        return result

    async def close(self) -> None:
        """Stops reading."""
        if self._pump is not None:
            self._pump.cancel()


def _settle(future: asyncio.Future[Reading], reading: Reading | BaseException) -> None:
    if isinstance(reading, BaseException):
        future.set_exception(reading)
        # Everyone who waited may have left; an exception nobody fetches must not be logged as lost.
        future.exception()
    else:
        future.set_result(reading)


def _from_journal(positions: Sequence[Position]) -> list[Reading]:
    """One reading per durable position. A cursor beyond an ended stream's head is not continuous."""
    LOG_READS.labels("journal").inc(len(positions))
    known = journal.heads([stream for stream, _ in positions])
    result = []
    for stream, cursor in positions:
        head = known.get(stream.name)
        if head is None or head.head <= cursor:
            beyond = head is not None and head.ended and head.head < cursor
            result.append(Reading([], continuous=not beyond, exists=head is not None, reason="unknown_cursor" if beyond else ""))
        else:
            result.append(Reading(journal.read(stream, cursor, limit=conf.EVENTS_READ_BATCH)))
    return result


def _merge(hot: Reading, cold: Reading) -> Reading:
    """What both tiers say together about a position that the broker alone could not answer."""
    if cold.events or not cold.continuous or not hot.exists:
        return cold
    if hot.reason == "unknown_cursor":
        # The broker holds the stream and it ends before the cursor: the cursor is from elsewhere.
        return hot
    # A gap that the journal does not fill yet: wait, never advance over it.
    return replace(hot, events=[], continuous=True, reason="")
