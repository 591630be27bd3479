"""All that one connection subscribed to: its patterns, its one cursor, and what comes next."""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

from accounts.caller import Caller
from events.conf import conf
from events.event import START, EventId
from events.exceptions import Forbidden, Unavailable, translated
from events.hub import RETRY_SECONDS, Hub
from events.streams import Stream
from events.topics import frames as topic_frames
from events.topics.access import AGAIN_SECONDS, Belonging, Sight
from events.topics.cursor import Progress, SinceCursor, Start
from events.topics.event import TopicEvent, organization_stream
from events.topics.frames import Refusal, Told
from events.topics.grammar import WILDCARD, Pattern, Topic
from events.topics.granting import grant
from events.topics.listening import Group, Heard, Listening
from events.topics.running import Running
from events.topics.streaming import begun_by, with_companions
from events.topics.watch import topic_watches


class TopicReader:
    """The subscriptions of one connection. `page`: most events that are replayed before it ends, to be come back for."""

    def __init__(self, hub: Hub, caller: Caller, *, page: int | None = None) -> None:
        self.caller = caller
        self.look_by = math.inf
        """Monotonic time by which `next` gives an empty list if nothing else."""
        self.changes = 0
        """Counts how often patterns were taken away: what was made before is to be looked at again, see `wants`."""
        self._hub = hub
        self._page = page
        self._sight = Sight(caller)
        self._patterns: dict[str, Pattern] = {}
        self._listening: dict[Stream, Listening] = {}
        self._progress = Progress()
        self.turn = asyncio.Lock()
        """Held from when `next` has found something until it is called again, as what it gave has a cursor that must not be
        overtaken: hold it to `subscribe` and to tell of it."""
        self._has_turn = False
        self._bell = asyncio.Event()
        self._ended = False
        self._belonging = Belonging(caller, self._bell.set)
        self._running = Running(hub, caller, self._progress, covers=self._covers, seen=self._seen, bell=self._bell.set)

    # Patterns.

    @property
    def cursor(self) -> str:
        """Where this connection stands: after all that `next` gave before its latest call."""
        return self._progress.told.cursor if self._progress.told.places else "0-0"

    @property
    def topics(self) -> list[str]:
        """The patterns in force, as they were given."""
        return list(self._patterns)

    async def subscribe(self, topics: Sequence[str], *, since: str = "") -> tuple[list[str], list[Refusal], bool]:
        """Puts patterns in force: which are, which are refused and why, and whether all since `since` is still there."""
        followed = {stream.id for stream in self._listening}
        granted = await grant(caller=self.caller, topics=topics, in_force=self._patterns, followed=followed)
        wanted, refusals = granted.patterns, granted.refusals
        cursor = SinceCursor(since) if since else None
        recovered = cursor is not None
        for organization in sorted(granted.organizations):
            added = {topic: pattern for topic, pattern in wanted.items() if _covers(pattern, organization)}
            try:
                recovered = await self._add(organization, added.values(), cursor) and recovered
            except Unavailable as error:
                refusals.append(Refusal(tuple(added), error))
                for topic in added:
                    wanted.pop(topic)
                    await self.unsubscribe([topic])
        self._patterns |= wanted
        for pattern in wanted.values():
            covered = [stream.id for stream in self._listening if _covers(pattern, stream.id)]
            await self._running.follow_covered(pattern, covered, cursor)
        return list(wanted), refusals, recovered and bool(wanted)

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Takes patterns out of force."""
        self.changes += 1
        for topic in topics:
            self._patterns.pop(topic, None)
        for stream, listening in list(self._listening.items()):
            listening.keep(with_companions(each for each in self._patterns.values() if _covers(each, stream.id)))
            if not listening.patterns:
                await self._leave(stream)
        await self._running.keep(self._covers)

    def wants(self, told: Told) -> bool:
        """Whether a frame that was made a moment ago is still asked for."""
        return told.topic is None or self._covers(told.topic)

    def _covers(self, topic: Topic) -> bool:
        return any(pattern.matches(topic) for pattern in self._patterns.values())

    async def _add(self, organization: str, patterns: Iterable[Pattern], since: SinceCursor | None) -> bool:
        """Listens to an organisation; whether all that came after `since` is still there. Raises `BrokerUnavailable`."""
        stream = organization_stream(organization)
        starts = _starts(with_companions(patterns), stream, since)
        reason = "malformed" if since is not None and since.is_malformed else ""
        recovered = since is not None and not reason
        for place in {start.place for start, _ in starts if start is not None and recovered}:
            recovered = (await self._hub.log.read(stream, place)).continuous and recovered
        listening = self._listening.get(stream)
        if listening is None:
            listening = Listening(self._bell.set)
            watch = await topic_watches(self._hub).join(stream, listening)
            first = starts[0][0]
            place = listening.begin(watch, since=first.place if first else None, reason=reason)
            self._listening[stream] = listening
            for standing in self._progress.both:
                standing.places[stream] = place
        for start, group in starts:
            listening.add(group, start=start, reason=reason)
        for standing in self._progress.both:
            standing.stand_aside(stream, listening.asides(standing.places[stream]))
        return recovered

    async def _leave(self, stream: Stream) -> None:
        listening = self._listening.pop(stream)
        self._progress.leave(stream)
        await listening.end()
        topic_watches(self._hub).leave(listening.watch, listening)

    # What comes.

    async def next(self) -> list[Told] | None:
        """The next frames; none at all when it is `look_by`; None at the end. What it gave before has been told."""
        self.has_told()
        while not self._over():
            self._bell.clear()
            await self.turn.acquire()
            self._has_turn = True
            told = await self._look()
            if told:
                return told
            self.has_told()
            if await self._wait():
                return told
        return None

    def has_told(self) -> None:
        """What `next` gave has been told, as it will be when `next` is called again: others may subscribe now."""
        self._progress.has_told()
        if self._has_turn:
            self._has_turn = False
            self.turn.release()

    def stop(self) -> None:
        """Ends it."""
        self._ended = True
        self._bell.set()

    def give_notice(self) -> None:
        """Has `next` look at once who may see what: something has changed. It returns soon, once."""
        self.look_by = 0.0
        self._belonging.ask_at(0.0)
        self._sight.forget()
        self._bell.set()

    async def close(self) -> None:
        """Leaves everything."""
        self.stop()
        self._belonging.close()
        for stream in list(self._listening):
            await self._leave(stream)
        await self._running.close()

    def _over(self) -> bool:
        return self._ended or self._hub.closing

    async def _look(self) -> list[Told]:
        """What is there already, of one organisation: the one that has waited longest comes first."""
        told = [*await self._check_access(), *self._running.notices()]
        for stream, listening in list(self._listening.items()):
            if told:
                break
            while not told and self._listening.get(stream) is listening:
                heard = await listening.look()
                if self._listening.get(stream) is not listening:
                    # It was left meanwhile; what it opened since then is closed.
                    await listening.end()
                elif heard is None:
                    break
                else:
                    self._listening[stream] = self._listening.pop(stream)
                    told = await self._tell(stream, listening, heard)
        # Answers last: an event says that one has begun, and what has begun is told after it.
        return told or await self._running.look()

    async def _wait(self) -> bool:
        """Waits until there is something to look at: False; or it is `look_by`: True."""
        seconds = min(self.look_by, self._belonging.due if self._listening else math.inf) - time.monotonic()
        try:
            async with asyncio.timeout(None if seconds == math.inf else max(0.0, seconds)):
                await self._bell.wait()
        except TimeoutError:
            if time.monotonic() < self.look_by:
                return False
            # Told once: a time that has passed would have this return at once, for ever.
            self.look_by = math.inf
            return True
        return False

    async def _tell(self, stream: Stream, listening: Listening, heard: Heard) -> list[Told]:
        events = await self._seen(heard.events)
        if self._listening.get(stream) is not listening:
            return []
        events, place = self._paged(listening, events, heard.place)
        told: list[Told] = []
        if heard.reason:
            cursor = self._progress.at.cursor if events else self._cursor_at(stream, listening, heard.group, place)
            told.append(topic_frames.truncated(organization=stream.id, reason=heard.reason, oldest=heard.oldest, cursor=cursor))
        for event in events:
            await self._running.follow_begun(event)
            cursor = self._cursor_at(stream, listening, heard.group, event.at.id)
            if begun_by(event.topic) is None or self._covers(event.topic):
                told.append(topic_frames.event(event, cursor))
        cursor = self._cursor_at(stream, listening, heard.group, place)
        if (heard.is_far or heard.reason) and not events:
            told.append(topic_frames.place(cursor))
        return told

    def _cursor_at(self, stream: Stream, listening: Listening, group: Group | None, place: EventId) -> str:
        """The cursor after something of an organisation was told to all of its patterns, or to a group that is behind."""
        if group is None:
            self._progress.at.places[stream] = place
        self._progress.at.stand_aside(stream, listening.asides(place, group))
        return self._progress.at.cursor

    def _paged(self, listening: Listening, events: list[TopicEvent], place: EventId) -> tuple[list[TopicEvent], EventId]:
        """As much of a replay as belongs to the page."""
        if self._page is None or not listening.is_replaying:
            return events, place
        if len(events) > self._page:
            # At least one: a page that ends where it began would be asked for again for ever.
            events = events[: max(1, self._page)]
            place, self._ended = events[-1].at.id, True
        self._page = max(0, self._page - len(events))
        return events, place

    async def _seen(self, events: list[TopicEvent]) -> list[TopicEvent]:
        """Those that the caller may see. While nobody can say they wait: neither told nor lost."""
        while not self._over():
            try:
                return await self._sight.filter(events)
            except Exception as error:
                if not isinstance(translated(error), Unavailable):
                    raise
                await asyncio.sleep(RETRY_SECONDS)
        return []

    # Who may.

    async def _check_access(self) -> list[Told]:
        """Looks now and then which organisations the caller still belongs to, and leaves the others."""
        if not self._listening:
            return []
        visible = await self._belonging.news(None if self._has_wildcard() else {stream.id for stream in self._listening})
        return [] if visible is None else await self._adjust(visible)

    def _has_wildcard(self) -> bool:
        return any(pattern.organization == WILDCARD for pattern in self._patterns.values())

    async def _adjust(self, visible: set[str]) -> list[Told]:
        lost = {stream for stream in self._listening if stream.id not in visible}
        gone = [topic for topic, pattern in self._patterns.items() if organization_stream(pattern.organization) in lost]
        self.changes += len(gone)
        for topic in gone:
            del self._patterns[topic]
        for stream in lost:
            await self._leave(stream)
        await self._running.keep(lambda topic: organization_stream(topic.organization) not in lost)
        if self._has_wildcard():
            await self._add_new(visible - {stream.id for stream in self._listening})
        if not gone:
            return []
        return [topic_frames.refused(Refusal(tuple(gone), Forbidden("You are no longer a member of this organisation.")))]

    async def _add_new(self, organizations: set[str]) -> None:
        """Organisations that came into being after `*` was subscribed to: from their beginning."""
        room = conf.TOPIC_ORGANIZATIONS_MAX - len(self._listening)
        patterns = [pattern for pattern in self._patterns.values() if pattern.organization == WILDCARD]
        for organization in sorted(organizations)[:room]:
            try:
                await self._add(organization, patterns, SinceCursor("0-0"))
            except Unavailable:
                self._belonging.ask_at(time.monotonic() + AGAIN_SECONDS)


def _covers(pattern: Pattern, organization: str) -> bool:
    return pattern.organization in (organization, WILDCARD)


def _starts(patterns: Iterable[Pattern], stream: Stream, since: SinceCursor | None) -> list[tuple[Start | None, list[Pattern]]]:
    """The patterns by where they begin, the furthest first: there the connection stands, and the others are behind."""
    groups: dict[Start | None, list[Pattern]] = {}
    for pattern in patterns:
        groups.setdefault(since.start(stream, pattern) if since is not None else None, []).append(pattern)
    return sorted(groups.items(), key=lambda item: item[0].place if item[0] is not None else START, reverse=True)
