"""What one connection hears of one organisation: from the log until it has caught up, then from the watch.

The same loop for replay and live. Nothing is handed over in between: the connection begins to take what the watch
gives at a moment when it stands at or after the place up to which the watch has read.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from events.conf import conf
from events.event import START, EventId
from events.feed import Feed
from events.ring import Batch
from events.topic_event import TopicEvent
from events.topic_watch import TopicWatch
from events.topics import Pattern, Trie


@dataclass(slots=True)
class Heard:
    """What came next: matching events, and the place after them (further than the last where others followed).

    `reason`: why events may be missing before `oldest`, the first that is retained; empty: none are.
    """

    events: list[TopicEvent]
    place: EventId
    reason: str = ""
    oldest: EventId | None = None
    is_far: bool = False
    """Whether the place is to be told though nothing matched: the one before may soon be forgotten."""


class _CatchUp(Feed):
    """A feed that is looked at, and wakes whoever looks instead of waiting itself."""

    bell: Callable[[], None]
    is_open = False

    async def open(self) -> None:
        """Joins the stream's readers, once."""
        if not self.is_open:
            await self.__aenter__()
            self.is_open = True

    async def close(self) -> None:
        """Leaves them."""
        if self.is_open:
            self.is_open = False
            await self.__aexit__(None, None, None)

    def wake(self) -> None:
        self.bell()

    def keep_alive(self, due: float) -> None:
        del due


@dataclass(slots=True)
class _Rewind:
    """Patterns that were added with a place of their own: what they missed up to `until`, and others were not told."""

    feed: _CatchUp
    until: EventId
    added: Trie[bool]
    held: Trie[bool]

    def wants(self, event: TopicEvent) -> bool:
        return event.at.id <= self.until and bool(self.added.match(event.topic)) and not self.held.match(event.topic)


@dataclass(eq=False, slots=True)
class Listening:
    """One connection's patterns for one organisation. Costs memory for TOPIC_WAITING_MAX events, however slow it is."""

    bell: Callable[[], None]
    """Called when there may be something to look at."""
    patterns: set[Pattern] = field(default_factory=set)
    is_replaying: bool = False
    """Whether it has not caught up yet with the place it began from."""
    _watch: TopicWatch | None = None
    _trie: Trie[bool] = field(default_factory=Trie)
    _cursor: EventId = START
    _waiting: deque[TopicEvent] = field(default_factory=deque)
    _is_live: bool = False
    _generation: int = -1
    _passed: int = 0
    _is_passed: bool = False
    _feed: _CatchUp | None = None
    _reason: str = ""
    _rewinds: list[_Rewind] = field(default_factory=list)

    @property
    def watch(self) -> TopicWatch:
        """That of the organisation."""
        if self._watch is None:
            raise RuntimeError("Begin first.")
        return self._watch

    def begin(self, watch: TopicWatch, *, since: EventId | None, reason: str = "") -> EventId:
        """Takes its place: at `since`, or with what comes from now on. `reason`: why a given place could not be used."""
        self._watch = watch
        self._cursor = watch.head if since is None else since
        self._reason = reason
        if since is None:
            self._go_live()
        else:
            self.is_replaying = True
        return self._cursor

    def add(self, patterns: Iterable[Pattern], *, since: EventId | None = None) -> None:
        """Asks for more. `since`: what these patterns missed since then is told first; others are not told it again."""
        new = [pattern for pattern in patterns if pattern not in self.patterns]
        if since is not None and self.patterns and new:
            feed = self._catch_up_from(since)
            self._rewinds.append(_Rewind(feed, self._cursor, _trie_of(new), _trie_of(self.patterns)))
            # What waits was matched without the new ones.
            self._stop_live()
        for pattern in new:
            self.patterns.add(pattern)
            self._trie.add(pattern, True)
            self.watch.add(pattern, self)
        self.bell()

    def remove(self, patterns: Iterable[Pattern]) -> None:
        """Asks for less, from now on."""
        for pattern in patterns:
            if pattern in self.patterns:
                self.patterns.discard(pattern)
                self._trie.remove(pattern, True)
                self.watch.remove(pattern, self)

    def wants(self, event: TopicEvent) -> bool:
        """Whether it is asked for, by the patterns of now."""
        return bool(self._trie.match(event.topic))

    # What the watch calls.

    def give(self, event: TopicEvent) -> None:
        """Keeps a matched event, or, when too many wait, remembers only that the log must be read."""
        if not self._is_live or event.at.id <= self._cursor:
            return
        if len(self._waiting) >= conf.TOPIC_WAITING_MAX:
            self._stop_live()
        else:
            self._waiting.append(event)
        self.bell()

    def pass_by(self, seen: int) -> None:
        """After many events that it did not ask for it is to be told where it stands."""
        if self._is_live and seen - self._passed >= conf.TOPIC_CURSOR_EVENTS:
            self._passed = seen
            self._is_passed = True
            self.bell()

    def wake(self) -> None:
        """The stream is not what it was."""
        self.bell()

    # What the connection calls.

    async def look(self) -> Heard | None:
        """What comes next and is there already; None: nothing, or no store can say."""
        if self._rewinds:
            return await self._rewind(self._rewinds[0])
        if self._is_live and self._generation != self.watch.generation:
            self._stop_live()
        return self._take() if self._is_live else await self._catch_up()

    async def end(self) -> None:
        """Hears no more."""
        self.remove(list(self.patterns))
        self._stop_live()
        for rewind in self._rewinds:
            await rewind.feed.close()
        self._rewinds.clear()
        await self._close_feed()

    def _take(self) -> Heard | None:
        if not self._waiting and not self._is_passed:
            return None
        heard = Heard(list(self._waiting), max(self._cursor, self.watch.head), is_far=self._is_passed)
        self._waiting.clear()
        self._cursor, self._passed, self._is_passed = heard.place, self.watch.seen, False
        return heard

    async def _catch_up(self) -> Heard | None:
        if self._feed is None:
            self._feed = self._catch_up_from(self._cursor, reason=self._reason)
            self._reason = ""
        feed = self._feed
        await feed.open()
        batch = await feed.look()
        if batch is not None:
            self._cursor = feed.cursor
            return _heard(batch, feed.cursor, self.wants)
        if feed.caught_up and feed.cursor >= self.watch.head:
            self._cursor = feed.cursor
            # No await between the comparison and this.
            self._go_live()
            await self._close_feed()
            return self._take()
        return None

    async def _rewind(self, rewind: _Rewind) -> Heard | None:
        feed = rewind.feed
        # Once in any case: a place that is not known here is to be told as such.
        if feed.cursor < rewind.until or not feed.is_open:
            await feed.open()
            batch = await feed.look()
            if batch is not None:
                return _heard(batch, min(feed.cursor, rewind.until), rewind.wants)
            if not feed.caught_up:
                return None
        self._rewinds.remove(rewind)
        await feed.close()
        return Heard([], self._cursor, is_far=True)

    def _go_live(self) -> None:
        self._is_live, self.is_replaying = True, False
        self._generation = self.watch.generation
        self._passed = self.watch.seen

    def _stop_live(self) -> None:
        """From here on it reads the log after its cursor."""
        self._is_live = False
        self._waiting.clear()

    def _catch_up_from(self, cursor: EventId, *, reason: str = "") -> _CatchUp:
        feed = _CatchUp(hub=self.watch.hub, stream=self.watch.stream, cursor=cursor, reason=reason)
        feed.bell = self.bell
        return feed

    async def _close_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.close()


def _heard(batch: Batch, place: EventId, wants: Callable[[TopicEvent], bool]) -> Heard:
    events = [event for entry in batch.events if (event := TopicEvent.read(entry)) is not None and wants(event)]
    oldest = batch.events[0].id if batch.events else None
    return Heard(events, place, batch.reason, oldest, is_far=len(batch.events) >= conf.TOPIC_CURSOR_EVENTS)


def _trie_of(patterns: Iterable[Pattern]) -> Trie[bool]:
    trie: Trie[bool] = Trie()
    for pattern in patterns:
        trie.add(pattern, True)
    return trie
