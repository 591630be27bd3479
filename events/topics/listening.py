"""What one connection hears of one organisation: from the log until it has caught up, then from the watch.

The same loop for replay and live. Nothing is handed over in between: the connection begins to take what the watch
gives at a moment when it stands at or after the place up to which the watch has read.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from events.conf import conf
from events.event import START, EventId
from events.feed import Feed
from events.ring import Batch
from events.topics.cursor import Aside, Start, marks_of
from events.topics.event import TopicEvent
from events.topics.grammar import Pattern, Trie
from events.topics.watch import TopicWatch


@dataclass(slots=True)
class Heard:
    """What came next: matching events, and the place after them (further than the last where others followed).

    `reason`: why events may be missing before `oldest`, the first that is retained; empty: none are. `group`: those whose
    place it is; None: that of all others.
    """

    events: list[TopicEvent]
    place: EventId
    reason: str = ""
    oldest: EventId | None = None
    is_far: bool = False
    """Whether the place is to be told though nothing matched: the one before may soon be forgotten."""
    group: "Group | None" = None


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


@dataclass(eq=False, slots=True)
class Group:
    """Patterns that were added together. Since `since` everything that matches is told, up to the place of the connection.

    With a `feed`, only up to where that stands: they were added with a place of their own, behind the others, who wait.
    """

    since: EventId
    feed: _CatchUp | None = None
    patterns: set[Pattern] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Listening:
    """One connection's patterns for one organisation. Costs memory for TOPIC_WAITING_MAX events, however slow it is."""

    bell: Callable[[], None]
    """Called when there may be something to look at."""
    is_replaying: bool = False
    """Whether it has not caught up yet with the place it began from."""
    _watch: TopicWatch | None = None
    _groups: list[Group] = field(default_factory=list)
    _trie: Trie[Group] = field(default_factory=Trie)
    _cursor: EventId = START
    _waiting: deque[TopicEvent] = field(default_factory=deque)
    _is_live: bool = False
    _generation: int = -1
    _passed: int = 0
    _is_passed: bool = False
    _feed: _CatchUp | None = None
    _reason: str = ""

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

    @property
    def patterns(self) -> set[Pattern]:
        """All that is asked for."""
        return {pattern for group in self._groups for pattern in group.patterns}

    def add(self, patterns: Iterable[Pattern], *, start: Start | None = None, reason: str = "") -> None:
        """Asks for more; what is asked for already stays as it is.

        `start`: what these patterns missed since its place is told first, without what the others were told. `reason`: why
        a given place could not be used.
        """
        known = self.patterns
        new = {pattern for each in patterns if (pattern := self._own(each)) not in known}
        if not new:
            return
        group = Group(start.since if start else self._cursor, patterns=new)
        if start is not None and start.place != self._cursor:
            group.feed = self._catch_up_from(start.place, reason=reason)
        if group.feed is not None or self.watch.head > self._cursor:
            # What came after the place of the connection was matched without the new ones.
            self._stop_live()
        self._groups.append(group)
        for pattern in new:
            self._trie.add(pattern, group)
            self.watch.add(pattern, self)
        self.bell()

    def keep(self, patterns: Iterable[Pattern]) -> None:
        """Asks for these only, from now on."""
        kept = set(map(self._own, patterns))
        for group in self._groups:
            for pattern in group.patterns - kept:
                group.patterns.discard(pattern)
                self._trie.remove(pattern, group)
                self.watch.remove(pattern, self)
        self._groups = [group for group in self._groups if group.patterns or group.feed is not None]

    def wants(self, event: TopicEvent) -> bool:
        """Whether it is asked for, by the patterns of now."""
        return any(group.since < event.at.id for group in self._trie.match(event.topic))

    def asides(self, place: EventId, group: Group | None = None) -> tuple[Aside, ...]:
        """What a cursor says beside the place of the connection: who is behind, and who is not told all that the others are.

        `place`: that of the connection, or, with a `group`, that of this one.
        """
        connection = self._cursor if group is not None else place
        behind = {
            each: place if each is group else min(each.feed.cursor, connection) for each in self._groups if each.feed is not None
        }
        if not behind and all(each.since <= connection for each in self._groups):
            return ()
        named = [each for each in self._groups if each in behind or each.since > START]
        return tuple(Aside(marks_of(each.patterns), each.since, behind.get(each, connection)) for each in named)

    def _own(self, pattern: Pattern) -> Pattern:
        # `*` as organisation and its name ask for the same here.
        return replace(pattern, organization=self.watch.stream.id)

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
        behind = next((group for group in self._groups if group.feed is not None), None)
        if behind is not None and behind.feed is not None:
            return await self._rewind(behind, behind.feed)
        if self._is_live and self._generation != self.watch.generation:
            self._stop_live()
        return self._take() if self._is_live else await self._catch_up()

    async def end(self) -> None:
        """Hears no more."""
        self.keep([])
        self._stop_live()
        for group in self._groups:
            if group.feed is not None:
                await group.feed.close()
        self._groups.clear()
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
            if batch.reason:
                # All that is retained follows, for everybody.
                for group in self._groups:
                    group.since = START
            return _heard(batch, feed.cursor, self.wants)
        if feed.caught_up and feed.cursor >= self.watch.head:
            self._cursor = feed.cursor
            # No await between the comparison and this.
            self._go_live()
            await self._close_feed()
            return self._take()
        return None

    async def _rewind(self, group: Group, feed: _CatchUp) -> Heard | None:
        # Once in any case: a place that is not known here is to be told as such.
        if group.patterns and (feed.cursor < self._cursor or not feed.is_open):
            await feed.open()
            batch = await feed.look()
            if batch is not None:
                if batch.reason:
                    # All that is retained follows.
                    group.since = START
                heard = _heard(batch, min(feed.cursor, self._cursor), lambda event: self._missed(group, event))
                heard.group = group
                return heard
            if not feed.caught_up:
                return None
        group.feed = None
        await feed.close()
        self.keep(self.patterns)
        return Heard([], self._cursor, is_far=True)

    def _missed(self, group: Group, event: TopicEvent) -> bool:
        """Whether a group that is behind is to be told of an event: nobody was, though the connection stands after it."""
        found = self._trie.match(event.topic)
        return event.at.id <= self._cursor and group in found and not any(self._has_told(each, event) for each in found - {group})

    def _has_told(self, group: Group, event: TopicEvent) -> bool:
        return group.since < event.at.id <= (group.feed.cursor if group.feed is not None else self._cursor)

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
