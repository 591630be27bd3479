"""The broker on NATS JetStream: a subject for each stream, doorbells by JetStream itself, and topics as they are."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from nats.aio.msg import Msg

from events.broker.base import Appended, BrokerFacts, DoorbellListener, DurableAppend, OnceAppend, Reading
from events.broker.nats_doorbells import NatsDoorbells
from events.broker.nats_durable import DurableStreams
from events.broker.nats_jetstream import JetStream, Refused, api, stored_at
from events.broker.nats_leases import NatsLeases
from events.broker.nats_link import Question, said
from events.broker.nats_subjects import BORN, TOPICS, backlog_event, backlog_message, id_of, subject_of, where
from events.conf import conf
from events.event import START, Event, EventId
from events.exceptions import BrokerUnavailable
from events.streams import Stream

KNOWN_STREAMS = 20_000
NOW_SECONDS = 10.0
"""Longest wait of synchronous code for all that one call asks."""

OLDEST = (2, 12)
"""JetStream has stored several messages as one step since then."""

Answer = TypeVar("Answer")
Asked = tuple[Stream, str, dict[str, str]]
"""An event to append: its stream, packed, and headers."""


class NatsBroker(NatsLeases):
    """The broker on NATS at a URL. One per event loop; what ends in `_now` may be used from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.js = JetStream(url)
        self._durable = DurableStreams(self.js)
        self._filled: OrderedDict[tuple[Stream, int], float] = OrderedDict()
        self._aside = Aside(url)

    async def append_durable(self, appends: Sequence[DurableAppend]) -> list[Appended]:
        """See `BaseBroker`."""
        return await self._durable.append(appends)

    def append_durable_now(self, append: DurableAppend) -> Appended:
        """See `BaseBroker`."""

        async def fence_and_append(broker: NatsBroker) -> Appended:
            if await broker.fence(append.stream, append.lease) is None:
                return Appended.STALE
            return (await broker.append_durable([append]))[0]

        return self._aside.run(fence_and_append)

    async def fence(self, stream: Stream, lease: int) -> EventId | None:
        """See `BaseBroker`."""
        return await self._durable.fence(stream, lease)

    async def seed(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker`."""
        return await self._durable.seed(stream, lease, events)

    def seed_now(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker`."""
        return self._aside.run(lambda broker: broker.seed(stream, lease, events))

    async def append(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        return await self._append([(stream, packed, {}) for stream, packed in items])

    def append_now(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        return self._aside.run(lambda broker: broker.append(items))

    async def append_once(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """See `BaseBroker`. JetStream remembers every key for as long as the longest memory that is asked for."""
        return await self._append(
            [(each.stream, each.packed, {"Nats-Msg-Id": f"{each.stream.name} {each.key}"}) for each in items]
        )

    def append_once_now(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """See `BaseBroker`."""
        return self._aside.run(lambda broker: broker.append_once(items))

    async def _append(self, items: Sequence[Asked]) -> list[EventId]:
        """Appends, in order. The first event of an empty backlog says of itself that nothing was before it."""
        firsts = {stream: number for number, (stream, _, _) in reversed(list(enumerate(items))) if stream.kind != "org"}
        new = [number for stream, number in firsts.items() if not await self._is_filled(stream)]
        begun = await asyncio.gather(*(self._append_first(items[number]) for number in new))
        ids = {number: event_id for number, event_id in zip(new, begun, strict=True) if event_id is not None}
        waiting = [number for number in range(len(items)) if number not in ids]
        answers = await self.js.ask(*(_question(items[number]) for number in waiting)) if waiting else []
        for number, answer in zip(waiting, answers, strict=True):
            ids[number] = stored_at(answer)
        return [ids[number] for number in range(len(items))]

    async def _append_first(self, item: Asked) -> EventId | None:
        """Appends an event as the first of its stream; None when it is not the first."""
        question = _question(item, {BORN: "1", "Nats-Expected-Last-Subject-Sequence": "0"})
        try:
            event_id = await self.js.put(question)
        except Refused:
            event_id = None
        await self._note_filled(item[0])
        return event_id

    async def _is_filled(self, stream: Stream) -> bool:
        return self._filled.get((stream, await self.js.epoch(where(stream))), 0) > time.monotonic()

    async def _note_filled(self, stream: Stream) -> None:
        """Remembers that a stream holds something, for as long as that is sure."""
        seconds = conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600 / 2
        self._filled[stream, await self.js.epoch(where(stream))] = time.monotonic() + seconds
        if len(self._filled) > KNOWN_STREAMS:
            self._filled.popitem(last=False)

    async def read(self, cursors: Sequence[tuple[Stream, EventId]], *, limit: int) -> list[Reading]:
        """See `BaseBroker`. What is asked at the same time travels together."""
        return await asyncio.gather(*(self._read(stream, cursor, limit) for stream, cursor in cursors))

    async def _read(self, stream: Stream, cursor: EventId, limit: int) -> Reading:
        if stream.durable:
            return await self._durable.read(stream, cursor, limit)
        epoch = await self.js.epoch(where(stream))
        if cursor.major == epoch:
            found = await self._walk(stream, cursor.minor, limit + 1)
            # Compared with what answered, not with what was believed: it may have been made anew meanwhile.
            if found and id_of(found[0]) == cursor:
                return Reading(_events(found[1:]))
            if stream.kind == "org" and await self._is_kept(cursor):
                return Reading(_events(found[:limit]))
        found = await self._walk(stream, 1, limit)
        if not found:
            is_start = cursor == START and (stream.kind != "org" or await self._is_kept(EventId(epoch, 0)))
            return Reading([], continuous=is_start, exists=False, reason="" if is_start else "expired")
        return Reading(_events(found), *(await self._judged(stream, cursor, found)))

    async def _judged(self, stream: Stream, cursor: EventId, found: list[Msg]) -> tuple[bool, bool, str]:
        """Whether all that followed `cursor` is in what was found from the beginning on; that it exists; why not."""
        headers, first = found[0].headers or {}, id_of(found[0])
        if cursor == START:
            is_whole = BORN in headers or (stream.kind == "org" and await self._is_kept(EventId(first.major, 0)))
            return is_whole, True, "" if is_whole else "trimmed"
        is_behind = cursor.major == first.major and cursor < first
        return False, True, "trimmed" if is_behind else "unknown_cursor"

    async def _is_kept(self, cursor: EventId) -> bool:
        """Whether nothing after this place in the topics was removed: they are only ever trimmed at their beginning."""
        facts = await self.js.facts(TOPICS, fresh=True)
        return cursor.major == facts.epoch and max(1, facts.first_seq) - 1 <= cursor.minor <= facts.last_seq

    async def _walk(self, stream: Stream, seq: int, limit: int) -> list[Msg]:
        return await self.js.walk(where(stream), subject_of(stream), seq, limit)

    async def heads(self, streams: Sequence[Stream]) -> list[EventId]:
        """See `BaseBroker`."""
        return await asyncio.gather(*map(self._head, streams))

    async def _head(self, stream: Stream) -> EventId:
        if stream.durable:
            return await self._durable.head(stream)
        # Asked before the last message: what comes in between is then behind the head, and read.
        facts = await self.js.facts(where(stream), fresh=stream.kind == "org")
        message = await self.js.last(where(stream), subject_of(stream))
        if message is not None:
            return id_of(message)
        # No event of this organisation: where all topics are is as good a place, even when older ones have been removed.
        return EventId(facts.epoch, facts.last_seq) if stream.kind == "org" and facts.last_seq else START

    @asynccontextmanager
    async def doorbells(self) -> AsyncIterator[DoorbellListener]:
        """See `BaseBroker`."""
        await self.js.facts(TOPICS)  # our streams are there to ring
        listener = await NatsDoorbells.open(self._url)
        try:
            yield listener
        finally:
            await listener.close()

    async def ping(self) -> None:
        """See `BaseBroker`."""
        [answer] = await self.js.ask(api("INFO"))
        said(answer)

    async def facts(self) -> BrokerFacts:
        """See `BaseBroker`."""
        [answer] = await self.js.ask(api("INFO"))
        account = said(answer)
        version = await self.js.version()
        numbers = tuple(int(part) for part in version.split(".")[:2])
        return BrokerFacts(
            name="NATS",
            version=version,
            needs="" if numbers >= OLDEST else f"NATS {'.'.join(map(str, OLDEST))} or newer is needed",
            appends=True,
            write_errors=[],
            loading=False,
            eviction="noeviction",
            used_bytes=int(account.get("storage", 0)),
            most_bytes=max(0, int(account.get("limits", {}).get("max_storage", 0))),
        )

    async def close(self) -> None:
        """See `BaseBroker`."""
        await self.js.close()
        await asyncio.to_thread(self._aside.close)


class Aside:
    """A broker in an event loop and a thread of its own, for synchronous code; started at its first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._broker: NatsBroker | None = None

    def run(self, ask: Callable[["NatsBroker"], Coroutine[Any, Any, Answer]]) -> Answer:
        """What `ask` gives. Raises `BrokerUnavailable`, also after NOW_SECONDS."""
        loop, broker = self._started()

        async def in_time() -> Answer:
            async with asyncio.timeout(NOW_SECONDS):
                return await ask(broker)

        try:
            return asyncio.run_coroutine_threadsafe(in_time(), loop).result()
        except TimeoutError as error:
            raise BrokerUnavailable from error

    def close(self) -> None:
        """Ends the thread."""
        with self._lock:
            loop, broker = self._loop, self._broker
            self._loop = self._broker = None
        if loop is not None and broker is not None:
            asyncio.run_coroutine_threadsafe(broker.js.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def _started(self) -> tuple[asyncio.AbstractEventLoop, "NatsBroker"]:
        with self._lock:
            if self._loop is None or self._broker is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="nats aside", daemon=True).start()
                self._broker = NatsBroker(self._url)
            return self._loop, self._broker


def _question(item: Asked, more: dict[str, str] | None = None) -> Question:
    stream, packed, headers = item
    subject, payload, own = backlog_message(stream, packed)
    return Question(subject, payload, own | headers | (more or {}) or None)


def _events(messages: Sequence[Msg]) -> list[Event]:
    return [backlog_event(message) for message in messages]
