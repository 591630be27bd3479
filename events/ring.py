"""What a process keeps of one watched stream: its most recent events, encoded once for all readers."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from events.conf import conf
from events.event import Event, EventId, compact, is_terminal, to_json
from events.streams import Stream


class Encoder(Protocol):
    """Turns canonical events into one client's frames; hashable, pure, without state of a connection."""

    def frame(self, event: Event) -> bytes:
        """The bytes for one event; empty when that client does not see it."""
        ...


Render = Callable[[Event], Iterable[dict[str, Any]]]
"""The same for sockets: the frames for one event. Share one function (or an equal, hashable object) to share the work."""


class Reader(Protocol):
    """What the hub knows of a feed."""

    stream: Stream

    def wake(self) -> None:
        """Look again."""

    def keep_alive(self, due: float) -> None:
        """Give a sign of life if the last one was before the monotonic time `due`."""


class Batch:
    """Consecutive events after one cursor, compacted; encoded once for all readers that stand there."""

    __slots__ = ("_encoded", "_texts", "events", "last", "reason", "terminal")

    def __init__(self, events: Iterable[Event], *, reason: str = "", last: EventId | None = None) -> None:
        self.events = compact(events)
        self.reason = reason
        """Why events before these may be missing; empty: none are."""
        self.last: EventId | None = self.events[-1].id if self.events else last
        """The cursor after these events; without any the one that was given."""
        self.terminal = bool(self.events) and is_terminal(self.events[-1])
        self._encoded: dict[Encoder, bytes] = {}
        # Weak: a render that belongs to a connection must not keep it in memory once it has left.
        self._texts: WeakKeyDictionary[Render, tuple[str, ...]] | None = None

    def encoded(self, encoder: Encoder) -> bytes:
        """All frames in one piece."""
        data = self._encoded.get(encoder)
        if data is None:
            data = self._encoded[encoder] = b"".join(map(encoder.frame, self.events))
        return data

    def texts(self, render: Render) -> tuple[str, ...]:
        """All frames of a socket, each as JSON."""
        if self._texts is None:
            self._texts = WeakKeyDictionary()
        texts = self._texts.get(render)
        if texts is None:
            texts = self._texts[render] = tuple(to_json(frame) for event in self.events for frame in render(event))
        return texts


class Ring:
    """The most recent events of one watched stream: everything after `floor` up to `head`."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.floor: EventId | None = None
        self.head: EventId | None = None
        self.generation = 0
        """Changes when the stream is not what it was (wiped, regressed): readers must ask the log."""
        self.ended = False
        self.disturbed = False
        """Some reader could not read the log: the next successful read of this ring wakes them all."""
        self.wakes = 0
        """Counts wake-ups: who looked while one passed must look again instead of waiting."""
        self.feeds: set[Reader] = set()
        self._events: list[Event] = []
        self._batches: dict[EventId, Batch] = {}

    def start(self, head: EventId) -> None:
        """Begins, or begins again, empty at `head`."""
        self.floor = self.head = head
        self.generation += 1
        self._events, self._batches = [], {}

    def extend(self, events: list[Event]) -> None:
        """Adds what directly follows `head`, and drops the oldest beyond EVENTS_RING_EVENTS."""
        self._events += events
        surplus = len(self._events) - conf.EVENTS_RING_EVENTS
        if surplus > 0:
            self.floor = self._events[surplus - 1].id
            del self._events[:surplus]
        self.head = events[-1].id
        self.ended = self.ended or is_terminal(events[-1])
        self._batches = {}

    def batch(self, cursor: EventId) -> Batch | None:
        """What follows `cursor`, or None when the ring does not hold it (yet, or any more)."""
        if self.head is None or self.floor is None or not self.floor <= cursor < self.head:
            return None
        batch = self._batches.get(cursor)
        if batch is None:
            start = bisect_right(self._events, cursor, key=lambda event: event.id)
            batch = self._batches[cursor] = Batch(self._events[start:])
        return batch

    def wake(self) -> None:
        """Tells every feed to look again."""
        self.wakes += 1
        for feed in self.feeds:
            feed.wake()
