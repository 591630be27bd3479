"""Durable streams in JetStream: one subject each, several events in a message, fenced by what the last message says.

A message names the lease of its writer and the last id of the stream after it, and is stored only if the message before it
is still the last one of its subject. So whoever has taken the stream over, with a message that holds nothing but a higher
lease, has thereby shut out everybody else.
"""

import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nats.aio.msg import Msg

from events.broker.base import Appended, DurableAppend, Reading
from events.broker.nats_jetstream import JetStream, Refused, direct, stored_at
from events.broker.nats_link import Question, said, status
from events.broker.nats_subjects import DURABLE, FIRST, HEAD, LEASE, durable_events, head_of, seq_of, subject_of
from events.event import Event, EventId, pack
from events.exceptions import BrokerUnavailable
from events.streams import Stream

MESSAGE_BYTES = 512 * 1024
"""Most that one message holds; NATS takes 1 MiB unless it is told otherwise."""

BATCH_MESSAGES = 1000
"""Most messages that JetStream stores as one step."""

TRIES = 20
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a durable stream is: the place of its last message, the lease that wrote it, the last id."""

    seq: int
    lease: int
    head: int


class DurableStreams:
    """Durable streams, as one event loop writes and reads them. `BrokerUnavailable` while JetStream is away."""

    def __init__(self, js: JetStream) -> None:
        self._js = js
        self._tips: OrderedDict[Stream, Tip] = OrderedDict()
        # Where the message is that ends with an id: who stands there reads on from it. A wrong place is noticed.
        self._places: OrderedDict[tuple[Stream, int], int] = OrderedDict()

    async def append(self, appends: Sequence[DurableAppend]) -> list[Appended]:
        """See `BaseBroker.append_durable`. All of them in one round trip, if none is too large for one message."""
        answers: dict[int, Appended] = {}
        waiting = dict(enumerate(appends))
        tries = 0
        while waiting:
            await self._learn([each.stream for each in waiting.values() if each.stream not in self._tips])
            for number, answer in self._settled(waiting).items():
                answers[number] = answer
                del waiting[number]
            if waiting and not await self._store(list(waiting.values())):
                tries += 1
                if tries > TRIES:
                    raise BrokerUnavailable from RuntimeError("others write the same streams")
        return [answers[number] for number in range(len(appends))]

    async def fence(self, stream: Stream, lease: int) -> EventId | None:
        """See `BaseBroker.fence`."""
        for _ in range(TRIES):
            await self._learn([stream])
            tip = self._tips.get(stream)
            if tip is not None and tip.lease >= lease:
                return EventId(tip.head, 0) if tip.lease == lease else None
            head = tip.head if tip is not None else 0
            try:
                at = await self._js.put(_message(stream, lease, [], head, tip.seq if tip is not None else 0))
            except Refused:
                continue
            self._remember(stream, Tip(at.minor, lease, head))
            return EventId(head, 0)
        raise BrokerUnavailable from RuntimeError("others write the same stream")

    async def seed(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker.seed`. Stored as one step; then what was there before, which no longer counts, is removed."""
        await self._learn([stream])
        tip = self._tips.get(stream)
        if tip is not None and tip.lease > lease:
            return Appended.STALE
        pieces = list(_pieces(events))
        if not pieces:
            return Appended.OK
        messages = [_message(stream, lease, piece, piece[-1].id.major) for piece in pieces]
        try:
            last = await self._store_together(messages, tip.seq if tip is not None else 0)
        except Refused:
            self._tips.pop(stream, None)
            return Appended.LOST
        self._remember(stream, Tip(last, lease, events[-1].id.major))
        await self._js.purge(subject_of(stream), DURABLE, below=last - len(messages) + 1)
        return Appended.OK

    async def read(self, stream: Stream, cursor: EventId, limit: int) -> Reading:
        """What follows a cursor; see `BaseBroker.read`."""
        known = self._places.get((stream, cursor.major), 0)
        page = await self._page(stream, known, limit + 1) if known else []
        if not page or seq_of(page[0]) != known:
            known, page = 0, await self._page(stream, 0, limit)
        events: list[Event] = []
        head = 0
        while page:
            for message in page:
                head = head_of(message)
                self._place((stream, head), seq_of(message))
                _take(message, events, cursor)
            if len(events) >= limit or (page[-1].headers or {}).get("Nats-Num-Pending") == "0":
                break
            page = await self._page(stream, seq_of(page[-1]) + 1, limit)
        return _reading(cursor, head, events[:limit])

    async def head(self, stream: Stream) -> EventId:
        """The last id ever given out."""
        message = await self._js.last(DURABLE, subject_of(stream))
        return EventId(head_of(message) if message is not None else 0, 0)

    async def _page(self, stream: Stream, seq: int, limit: int) -> list[Msg]:
        return await self._js.walk(DURABLE, subject_of(stream), seq, limit)

    async def _learn(self, streams: Sequence[Stream]) -> None:
        """Asks where streams are."""
        if not streams:
            return
        asked = [direct(DURABLE, last_by_subj=subject_of(stream)) for stream in streams]
        for stream, [message] in zip(streams, await self._js.ask(*asked), strict=True):
            self._tips.pop(stream, None)
            if not status(message):
                self._remember(stream, Tip(seq_of(message), int((message.headers or {})[LEASE]), head_of(message)))

    def _settled(self, waiting: dict[int, DurableAppend]) -> dict[int, Appended]:
        """Those of the appends for which nothing is left to be stored, and why."""
        found: dict[int, Appended] = {}
        for number, append in waiting.items():
            tip = self._tips.get(append.stream)
            if tip is not None and tip.lease > append.lease:
                found[number] = Appended.STALE
            elif tip is None or tip.lease < append.lease or append.events[0].id.major > tip.head + 1:
                found[number] = Appended.LOST
            elif append.events[-1].id.major <= tip.head:
                found[number] = Appended.OK
        return found

    async def _store(self, appends: Sequence[DurableAppend]) -> bool:
        """Stores what fits into one message of each; False when somebody else wrote one of the streams."""
        messages = []
        for append in appends:
            tip = self._tips[append.stream]
            piece = next(_pieces([event for event in append.events if event.id.major > tip.head]))
            head = piece[-1].id.major
            messages.append((append, head, _message(append.stream, append.lease, piece, head, tip.seq)))
        answers = await self._js.ask(*(message for _, _, message in messages))
        is_alone = True
        for (append, head, _), answer in zip(messages, answers, strict=True):
            try:
                self._remember(append.stream, Tip(stored_at(answer).minor, append.lease, head))
            except Refused:
                # Also after an answer that was lost: then it was stored, and this is where the stream is now.
                self._tips.pop(append.stream, None)
                is_alone = False
            except BrokerUnavailable:
                self._tips.pop(append.stream, None)
                raise
        return is_alone

    async def _store_together(self, messages: Sequence[Question], seq: int) -> int:
        """Stores messages so that readers see all of them or none; the place of the last."""
        if len(messages) > BATCH_MESSAGES:
            raise BrokerUnavailable from RuntimeError("more than JetStream stores in one step")
        batch = uuid.uuid4().hex
        questions = []
        for number, message in enumerate(messages, 1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number), **(message.headers or {})}
            if number == 1:
                headers["Nats-Expected-Last-Subject-Sequence"] = str(seq)
            if number == len(messages):
                headers["Nats-Batch-Commit"] = "1"
            questions.append(Question(message.subject, message.payload, headers))
        answers = await self._js.ask(*questions)
        for answer in answers[:-1]:
            said(answer)
        return stored_at(answers[-1]).minor

    def _remember(self, stream: Stream, tip: Tip) -> None:
        self._tips[stream] = tip
        if len(self._tips) > REMEMBERED:
            self._tips.popitem(last=False)

    def _place(self, position: tuple[Stream, int], seq: int) -> None:
        self._places[position] = seq
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)


def _message(stream: Stream, lease: int, events: Sequence[Event], head: int, seq: int | None = None) -> Question:
    """A message of a durable stream; with `seq` it is stored only if the last one is there."""
    first = events[0].id.major if events else head + 1
    headers = {LEASE: str(lease), FIRST: str(first), HEAD: str(head)}
    if seq is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(seq)
    payload = "\n".join(pack(event.type, event.data, event.at) for event in events)
    return Question(subject_of(stream), payload.encode(), headers)


def _pieces(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in parts that fit into a message each."""
    piece: list[Event] = []
    size = 0
    for event in events:
        length = len(pack(event.type, event.data, event.at)) + 1
        if piece and size + length > MESSAGE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(event)
        size += length
    if piece:
        yield piece


def _take(message: Msg, events: list[Event], cursor: EventId) -> None:
    """Adds the events of a message after `cursor`. One that begins earlier (seeded) replaces what came before it."""
    found = durable_events(message)
    if found:
        while events and events[-1].id >= found[0].id:
            events.pop()
    events += [event for event in found if event.id > cursor]


def _reading(cursor: EventId, head: int, events: list[Event]) -> Reading:
    if not head:
        return Reading([], exists=False)
    if head < cursor.major:
        return Reading([], continuous=False, reason="unknown_cursor")
    whole = [event for number, event in enumerate(events, cursor.major + 1) if event.id.major == number]
    if events and not whole:
        return Reading(events, continuous=False, reason="trimmed")
    if not events and head > cursor.major:
        return Reading([], continuous=False, reason="trimmed")
    return Reading(whole)
