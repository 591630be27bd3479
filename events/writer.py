"""Writing durable streams: one writer per process, one lease number per stream, everything in batches.

Events go to the broker at once or after RUN_DELTA_FLUSH_MS-like pauses that the caller sets, all
streams in one pipeline; to the journal after at most JOURNAL_FLUSH_MS, all streams in one transaction.
Either store may be away: what it has not taken is kept in memory and offered again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from accounts.threads import in_thread
from events import journal
from events.broker.base import Appended, BaseBroker, DurableAppend
from events.conf import conf
from events.event import EVENT_TYPES, Event, EventId, storable
from events.exceptions import BrokerUnavailable, JournalUnavailable, LeaseLost
from events.metrics import APPENDED, JOURNAL_LAG, JOURNAL_WAITING
from events.publishing import now_ms
from events.streams import Stream

logger = logging.getLogger(__name__)

NewEvent = tuple[str, dict[str, Any]]
"""Type and data."""

RETRY_SECONDS = 0.5

TEXT_CHARS = 8192
"""Most text in one event: as ASCII-escaped JSON it stays below EVENT_MAX_BYTES."""


class StreamWriter:
    """One durable stream as its only writer sees it. Made by `Writer.open`."""

    def __init__(self, writer: "Writer", stream: Stream, lease: int, earlier: list[Event]) -> None:
        self.stream = stream
        self.lease = lease
        self.earlier = earlier
        """What the stream held when it was opened; its user may drop it."""
        self.head = earlier[-1].id.major if earlier else 0
        self.fenced = asyncio.Event()
        """Set when another writer has taken over: nothing written here counts any more."""
        self.unsent: list[Event] = []
        self.unjournaled: list[Event] = []
        self.busy = asyncio.Lock()
        self._last = 0
        """How many events at the end only go with the transaction that ends the stream."""
        self._writer = writer
        self._merging: tuple[str, dict[str, Any], list[str]] | None = None

    def append(self, type: str, data: dict[str, Any], *, at_once: bool = False) -> None:
        """Adds an event; raises `LeaseLost`. Text that follows text within one pause becomes one event."""
        if self.fenced.is_set():
            raise LeaseLost
        joined = EVENT_TYPES[type].joined
        if joined is not None and self._merge(type, data, joined):
            if at_once:
                self._writer.schedule(at_once=True)
            return
        self._close_merge()
        if joined is not None:
            self._merging = (type, {key: value for key, value in data.items() if key != joined}, [data[joined]])
        else:
            self._add(type, data)
        self._writer.schedule(at_once=at_once)

    def next_id(self) -> int:
        """The id that the next event will have."""
        self._close_merge()
        return self.head + 1

    def settle(self) -> None:
        """Gives what was merged its id, ready to be sent."""
        self._close_merge()

    def append_last(self, events: Sequence[NewEvent]) -> None:
        """Adds the events that end the stream; they only go with their transaction. Raises `LeaseLost`."""
        for type_, data in events:
            self.append(type_, data)
        self._last = len(events)
        self._writer.schedule(at_once=True)

    def before_end(self, events: list[Event]) -> list[Event]:
        """Those that may be written by themselves: the last ones only go with the transaction that ends the stream."""
        return events[: len(events) - self._last]

    def next_events(self, events: Sequence[NewEvent]) -> list[Event]:
        """Events as the next ones, that nobody has seen yet: see `take`."""
        at = now_ms()
        return [
            Event(EventId(number, 0), type_, storable(data), at)
            for number, (type_, data) in enumerate(events, start=self.next_id())
        ]

    def take(self, event: Event) -> None:
        """Has an event sent that the journal holds already."""
        self.head = event.id.major
        self.unsent.append(event)

    def take_back_end(self) -> None:
        """Forgets the last events: their transaction did not come about."""
        for events in (self.unsent, self.unjournaled):
            del events[len(events) - self._last :]
        self.head -= self._last
        self._last = 0

    def _merge(self, type: str, data: dict[str, Any], joined: str) -> bool:
        if self._merging is None or self._merging[0] != type:
            return False
        if self._merging[1] != {key: value for key, value in data.items() if key != joined}:
            return False
        self._merging[2].append(data[joined])
        return True

    def _close_merge(self) -> None:
        if self._merging is not None:
            type_, rest, parts = self._merging
            self._merging = None
            # Before it is split: a character may have come in two halves.
            text = storable("".join(parts))
            for start in range(0, len(text), TEXT_CHARS):
                self._add(type_, rest | {str(EVENT_TYPES[type_].joined): text[start : start + TEXT_CHARS]})

    def _add(self, type: str, data: dict[str, Any]) -> None:
        self.head += 1
        # One event that the database refuses would hold up the journal of all streams.
        event = Event(EventId(self.head, 0), type, storable(data), now_ms())
        self.unsent.append(event)
        self.unjournaled.append(event)
        if len(self.unjournaled) >= conf.JOURNAL_FLUSH_EVENTS:
            self._writer.journal_now.set()


class Writer:
    """All durable streams that this process writes. Use it with `start` and `close`, in one event loop."""

    def __init__(self, *, broker: BaseBroker, flush_ms: float) -> None:
        self.broker = broker
        self.journal_now = asyncio.Event()
        self._flush_seconds = flush_ms / 1000
        self._streams: dict[Stream, StreamWriter] = {}
        self._wanted = asyncio.Event()
        self._at_once = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to send and to journal."""
        self._tasks = [
            asyncio.create_task(self._send_forever(), name="writer: broker"),
            asyncio.create_task(self._journal_forever(), name="writer: journal"),
        ]

    async def close(self) -> None:
        """Journals what is left, as far as the database allows, and stops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._streams.values():
            each.settle()
        try:
            await self._journal()
        except JournalUnavailable:
            logger.error("Stopping with %d events that the database did not take.", self.waiting)

    @property
    def waiting(self) -> int:
        """How many events the database has not taken yet."""
        return sum(len(each.unjournaled) for each in self._streams.values())

    async def open(self, *, stream: Stream, lease: int) -> StreamWriter:
        """Takes over a stream with a lease number from `journal.take_lease`.

        What an earlier writer left in the broker only is journaled first; what the broker
        lost is put back. Raises `LeaseLost`.
        """
        events = await drain(self.broker, stream=stream, lease=lease)
        each = StreamWriter(self, stream, lease, events)
        self._streams[stream] = each
        return each

    async def end(self, each: StreamWriter, *, events: Sequence[NewEvent], also: Callable[[], None] | None = None) -> None:
        """Ends a stream with its one terminal event, and what comes with it; `also` runs in the transaction that writes them.

        Waits as long as the database is away. The broker hears of it afterwards; should this process die
        in between, the hub's sweep finds the end in the journal. Raises `LeaseLost`.
        """
        each.append_last(events)
        try:
            async with each.busy:
                await self._journal_last(journal.end, each, list(each.unjournaled), also)
        except Exception:
            each.take_back_end()
            raise
        self._streams.pop(each.stream, None)
        await self._send_last(each, ended=True)

    async def leave(self, each: StreamWriter, *, events: Sequence[NewEvent], also: Callable[[], None]) -> None:
        """Writes some more events and lets go of a stream that somebody will go on with; `also` runs in the same transaction.

        Nobody sees the events before they are committed. Waits as long as the database is away. Raises `LeaseLost`, and what
        `also` raises: then nothing was written, and the stream is still this writer's.
        """
        if each.fenced.is_set():
            raise LeaseLost
        async with each.busy:
            last = each.next_events(events)
            await self._journal_last(journal.commit, each, [*each.unjournaled, *last], also)
            for event in last:
                each.take(event)
        self._streams.pop(each.stream, None)
        await self._send_last(each, ended=False)

    async def _journal_last(
        self, write: Callable[..., None], each: StreamWriter, events: list[Event], also: Callable[[], None] | None
    ) -> None:
        while True:
            try:
                await in_thread(write, stream=each.stream, lease=each.lease, events=events, also=also)
                break
            except journal.UNREACHABLE as error:
                logger.warning("The last events of %s wait for the database: %s", each.stream.name, error)
                await asyncio.sleep(RETRY_SECONDS)
        each.unjournaled.clear()

    def release(self, each: StreamWriter) -> None:
        """Forgets a stream whose lease is lost or handed back."""
        self._streams.pop(each.stream, None)

    def schedule(self, *, at_once: bool) -> None:
        """Has waiting events sent, now or after the pause."""
        self._wanted.set()
        if at_once:
            self._at_once.set()

    async def _send_forever(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                async with asyncio.timeout(self._flush_seconds):
                    await self._at_once.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            self._at_once.clear()
            try:
                await self._send()
            except BrokerUnavailable as error:
                logger.warning("Events wait for the broker: %s", error.__cause__ or error)
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()
            except Exception:
                logger.exception("Events could not be sent; they are offered again.")
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()

    async def _send(self) -> None:
        appends = []
        for each in list(self._streams.values()):
            each.settle()
            # The terminal event is for `_send_last`: no reader may see it before the database has it.
            events = each.before_end(each.unsent)
            if events:
                appends.append((each, DurableAppend(each.stream, each.lease, events)))
        if not appends:
            return
        answers = await self.broker.append_durable([append for _, append in appends])
        for (each, append), answer in zip(appends, answers, strict=True):
            await self._sent(each, append, answer)

    async def _sent(self, each: StreamWriter, append: DurableAppend, answer: Appended) -> None:
        if answer is Appended.OK:
            del each.unsent[: len(append.events)]
            APPENDED.labels(each.stream.kind).inc(len(append.events))
        elif answer is Appended.STALE:
            logger.warning("Another writer has taken over %s.", each.stream.name)
            each.fenced.set()
        else:
            await self._reopen(each)

    async def _reopen(self, each: StreamWriter) -> None:
        """The broker lost the stream: everything written so far is put back, if the lease is still ours."""
        logger.warning("The broker lost %s; putting it back.", each.stream.name)
        async with each.busy:
            if each.stream not in self._streams:
                return  # it ended meanwhile: `_send_last` puts it back
            waiting = each.before_end(each.unjournaled)
            try:
                held = (await in_thread(journal.append, [(each.stream, each.lease, waiting)]))[0]
            except JournalUnavailable:
                self._wanted.set()
                return
            if not held:
                each.fenced.set()
                return
            # Only these: others may have come while the database was busy.
            del each.unjournaled[: len(waiting)]
            events = await in_thread(journal.read, each.stream, EventId(0, 0))
        if await self.broker.fence(each.stream, each.lease) is None:
            each.fenced.set()
        elif await self.broker.seed(each.stream, each.lease, events) is Appended.OK:
            head = events[-1].id if events else EventId(0, 0)
            each.unsent = [event for event in each.unsent if event.id > head]

    async def _send_last(self, each: StreamWriter, *, ended: bool) -> None:
        """Tells the broker, a few times: it may be away, and the journal already holds the events."""
        for _ in range(3):
            try:
                append = DurableAppend(each.stream, each.lease, each.unsent, ended=ended)
                if (await self.broker.append_durable([append]))[0] is Appended.LOST:
                    events = await in_thread(journal.read, each.stream, EventId(0, 0))
                    await self.broker.fence(each.stream, each.lease)
                    await self.broker.seed(each.stream, each.lease, events)
                    await self.broker.append_durable([append])
                APPENDED.labels(each.stream.kind).inc(len(each.unsent))
                return
            except (BrokerUnavailable, JournalUnavailable) as error:
                logger.warning("The broker did not hear of the last events of %s: %s", each.stream.name, error.message)
                await asyncio.sleep(RETRY_SECONDS)

    async def _journal_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(conf.JOURNAL_FLUSH_MS / 1000):
                    await self.journal_now.wait()
            except TimeoutError:
                pass
            self.journal_now.clear()
            try:
                await self._journal()
            except JournalUnavailable as error:
                logger.warning("The journal falls behind, %d events wait: %s", self.waiting, error.__cause__ or error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("Events could not be journaled; they are offered again.")
                await asyncio.sleep(RETRY_SECONDS)
            self._measure()

    async def _journal(self) -> None:
        free = [each for each in self._streams.values() if each.unjournaled and not each.busy.locked()]
        # `end` and `_reopen` write the same list: they wait until this batch is in.
        for each in free:
            await each.busy.acquire()
        try:
            batches = [(each, each.before_end(each.unjournaled)) for each in free if each.stream in self._streams]
            batches = [(each, events) for each, events in batches if events]
            if batches:
                await self._journal_batches(batches)
        finally:
            for each in free:
                each.busy.release()

    async def _journal_batches(self, batches: list[tuple[StreamWriter, list[Event]]]) -> None:
        held = await in_thread(journal.append, [(each.stream, each.lease, events) for each, events in batches])
        for (each, events), ok in zip(batches, held, strict=True):
            del each.unjournaled[: len(events)]
            if not ok:
                logger.warning("Another writer has taken over %s.", each.stream.name)
                each.fenced.set()

    def _measure(self) -> None:
        oldest = min((each.unjournaled[0].at for each in self._streams.values() if each.unjournaled), default=None)
        JOURNAL_LAG.set(0 if oldest is None else max(0.0, time.time() - oldest / 1000))
        JOURNAL_WAITING.set(self.waiting)


async def drain(broker: BaseBroker, *, stream: Stream, lease: int) -> list[Event]:
    """Makes broker and journal agree under a new lease number; the whole stream so far.

    The broker may hold events that a dead writer had not journaled: they are readers' truth
    and are journaled now. It may also have lost events: they are put back. Raises `LeaseLost`.
    """
    if await broker.fence(stream, lease) is None:
        raise LeaseLost
    events = await in_thread(journal.read, stream, EventId(0, 0))
    head = events[-1].id if events else EventId(0, 0)
    newer: list[Event] = []
    while True:
        reading = (await broker.read([(stream, newer[-1].id if newer else head)], limit=conf.EVENTS_READ_BATCH))[0]
        if not reading.events or not reading.continuous:
            break
        newer += reading.events
    if newer:
        if not (await in_thread(journal.append, [(stream, lease, newer)]))[0]:
            raise LeaseLost
        return events + newer
    if not reading.exists or not reading.continuous:
        await broker.seed(stream, lease, events)
    return events
