"""All that one connection subscribed to: its patterns, its one cursor, and what comes next."""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

from accounts.caller import Caller
from accounts.threads import in_thread
from events.conf import conf
from events.event import START, EventId
from events.exceptions import Forbidden, InvalidRequest, ThroughlineError, TooMany, Unavailable, translated
from events.hub import RETRY_SECONDS, Hub
from events.streams import Stream
from events.topics import frames as topic_frames
from events.topics.access import AGAIN_SECONDS, Belonging, Sight, visible_organizations
from events.topics.cursor import SinceCursor, Standing, Start
from events.topics.event import TopicEvent, organization_stream
from events.topics.frames import Refusal, Told
from events.topics.grammar import WILDCARD, Pattern, Topic, parse_pattern
from events.topics.listening import Group, Heard, Listening
from events.topics.streaming import Streamed, Streaming, begun_by, companion, streaming_of, topic_of
from events.topics.watch import topic_watches

BEGUN = 1024
"""Of how many answers a connection remembers that it was told them."""


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
        self._streamed: dict[Stream, Streamed] = {}
        self._begun: dict[str, None] = {}
        self._at = Standing()
        self._told = Standing()
        self._notices: list[Told] = []
        self.turn = asyncio.Lock()
        """Held from when `next` has found something until it is called again, as what it gave has a cursor that must not be
        overtaken: hold it to `subscribe` and to tell of it."""
        self._has_turn = False
        self._bell = asyncio.Event()
        self._ended = False
        self._belonging = Belonging(caller, self._bell.set)

    # Patterns.

    @property
    def cursor(self) -> str:
        """Where this connection stands: after all that `next` gave before its latest call."""
        return self._told.cursor if self._told.places else "0-0"

    @property
    def topics(self) -> list[str]:
        """The patterns in force, as they were given."""
        return list(self._patterns)

    async def subscribe(self, topics: Sequence[str], *, since: str = "") -> tuple[list[str], list[Refusal], bool]:
        """Puts patterns in force: which are, which are refused and why, and whether all since `since` is still there."""
        refusals: list[Refusal] = []
        wanted: dict[str, Pattern] = {}
        for topic in dict.fromkeys(topics):
            try:
                wanted[topic] = parse_pattern(topic)
                if len(self._patterns.keys() | wanted.keys()) > conf.TOPICS_PER_CONNECTION:
                    del wanted[topic]
                    raise TooMany(
                        f"At most {conf.TOPICS_PER_CONNECTION} topics are accepted on one connection. Unsubscribe first."
                    )
            except ThroughlineError as error:
                refusals.append(Refusal((topic[:512],), error))
        covered = await self._cover(wanted, refusals)
        cursor = SinceCursor(since) if since else None
        recovered = cursor is not None
        for organization in sorted(covered):
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
            await self._follow_running(pattern, cursor)
        return list(wanted), refusals, recovered and bool(wanted)

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Takes patterns out of force."""
        self.changes += 1
        for topic in topics:
            self._patterns.pop(topic, None)
        for stream, listening in list(self._listening.items()):
            listening.keep(_with_companions(each for each in self._patterns.values() if _covers(each, stream.id)))
            if not listening.patterns:
                await self._leave(stream)
        for streamed in list(self._streamed.values()):
            if not self._covers(streamed.topic):
                await self._drop(streamed)

    def wants(self, told: Told) -> bool:
        """Whether a frame that was made a moment ago is still asked for."""
        return told.topic is None or self._covers(told.topic)

    def _covers(self, topic: Topic) -> bool:
        return any(pattern.matches(topic) for pattern in self._patterns.values())

    async def _cover(self, wanted: dict[str, Pattern], refusals: list[Refusal]) -> set[str]:
        """The organisations that the patterns cover; those that the caller may not follow are refused and taken out."""
        named = {pattern.organization for pattern in wanted.values()} - {WILDCARD}
        visible = await in_thread(visible_organizations, user_pk=self.caller.pk, among=named) if named else set()
        followed = {stream.id for stream in self._listening}
        covered: set[str] = set()
        every: set[str] | None = None
        for topic, pattern in list(wanted.items()):
            try:
                if pattern.organization == WILDCARD:
                    every = await self._every() if every is None else every
                    _bound(followed | covered | every)
                    covered |= every
                elif pattern.organization in visible:
                    _bound(followed | covered | {pattern.organization})
                    covered.add(pattern.organization)
                else:
                    raise Forbidden(f"You are no member of the organisation {pattern.organization!r}.")
            except ThroughlineError as error:
                del wanted[topic]
                refusals.append(Refusal((topic,), error))
        return covered

    async def _every(self) -> set[str]:
        if not self.caller.is_staff:
            raise Forbidden("Only staff accounts may subscribe to all organisations: name yours instead of `*`.")
        return await in_thread(visible_organizations, user_pk=self.caller.pk)

    async def _add(self, organization: str, patterns: Iterable[Pattern], since: SinceCursor | None) -> bool:
        """Listens to an organisation; whether all that came after `since` is still there. Raises `BrokerUnavailable`."""
        stream = organization_stream(organization)
        starts = _starts(_with_companions(patterns), stream, since)
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
            self._at.places[stream] = self._told.places[stream] = place
            self._listening[stream] = listening
        for start, group in starts:
            listening.add(group, start=start, reason=reason)
        for standing in (self._at, self._told):
            standing.stand_aside(stream, listening.asides(standing.places[stream]))
        return recovered

    async def _leave(self, stream: Stream) -> None:
        listening = self._listening.pop(stream)
        self._at.leave(stream)
        self._told.leave(stream)
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
        self._told = self._at.copy()
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
        for streamed in list(self._streamed.values()):
            await self._drop(streamed)

    def _over(self) -> bool:
        return self._ended or self._hub.closing

    async def _look(self) -> list[Told]:
        """What is there already, of one organisation: the one that has waited longest comes first."""
        told = [*await self._check_access(), *self._notices]
        self._notices.clear()
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
        for streamed in list(self._streamed.values()):
            if told:
                break
            told = await self._tell_streamed(streamed)
        return told

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
            cursor = self._at.cursor if events else self._cursor_at(stream, listening, heard.group, place)
            told.append(topic_frames.truncated(organization=stream.id, reason=heard.reason, oldest=heard.oldest, cursor=cursor))
        for event in events:
            await self._follow_begun(event)
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
            self._at.places[stream] = place
        self._at.stand_aside(stream, listening.asides(place, group))
        return self._at.cursor

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

    # What is streamed beside the organisations: running answers.

    async def _follow_running(self, pattern: Pattern, since: SinceCursor | None) -> None:
        """What runs at this moment, from its beginning; with a cursor what ran then, from where its reader stood.

        What has begun after a cursor is found with the organisation's events.
        """
        places = since.running if since is not None else {}
        for kind in streaming_of(pattern):
            for stream in list(self._listening):
                if pattern.organization not in (stream.id, WILDCARD):
                    continue
                found = await in_thread(kind.running, self.caller, stream.id, pattern.resource_id, list(places))
                for message_id, resource_id in found:
                    if since is None or since.is_malformed or message_id in places:
                        topic = topic_of(kind, stream.id, resource_id)
                        place = places.get(message_id, START)
                        await self._follow(kind, message_id, topic, place)
                        # Already in the cursor of `subscribed`: who is cut before the first token must find it again.
                        if Stream("message", message_id) in self._streamed:
                            self._told.places.setdefault(Stream("message", message_id), place)

    async def _follow_begun(self, event: TopicEvent) -> None:
        kind = begun_by(event.topic)
        message_id = event.at.data.get("event", {}).get("payload", {}).get("message_id") if kind is not None else None
        if kind is None or not isinstance(message_id, str):
            return
        await self._follow(kind, message_id, topic_of(kind, event.topic.organization, event.topic.resource_id), START)

    async def _follow(self, kind: Streaming, message_id: str, topic: Topic, place: EventId) -> None:
        if message_id in self._begun or not self._covers(topic):
            return
        self._begun[message_id] = None
        while len(self._begun) > BEGUN:
            del self._begun[next(iter(self._begun))]
        if len(self._streamed) >= conf.TOPIC_ANSWERS_MAX:
            self._notices.append(topic_frames.not_streamed(topic=topic, message_id=message_id, limit=conf.TOPIC_ANSWERS_MAX))
            self._bell.set()
            return
        streamed = Streamed(hub=self._hub, message_id=message_id, kind=kind, topic=topic, cursor=place, bell=self._bell.set)
        await streamed.__aenter__()
        self._streamed[streamed.stream] = streamed
        self._at.places[streamed.stream] = place
        self._bell.set()

    async def _drop(self, streamed: Streamed) -> None:
        if self._streamed.pop(streamed.stream, None) is not None:
            self._at.leave(streamed.stream)
            self._told.leave(streamed.stream)
            await streamed.__aexit__(None, None, None)

    async def _tell_streamed(self, streamed: Streamed) -> list[Told]:
        stream, told = streamed.stream, list[Told]()
        while not told and not streamed.is_over and (heard := await streamed.heard()) is not None:
            events = await self._seen(heard)
            if self._streamed.get(stream) is not streamed:
                return []
            for event in events:
                self._at.places[stream] = event.at.id
                told.append(topic_frames.event(event, self._at.cursor))
            self._at.places[stream] = streamed.cursor
            if streamed.is_over:
                await self._drop(streamed)
                # With the last one its place in the cursor is gone.
                told[-1:] = [topic_frames.event(event, self._at.cursor) for event in events[-1:]]
        return told

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
        for streamed in list(self._streamed.values()):
            if organization_stream(streamed.topic.organization) in lost:
                await self._drop(streamed)
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


def _with_companions(patterns: Iterable[Pattern]) -> list[Pattern]:
    """The patterns, and those of the events that say that what they cover has begun elsewhere."""
    return [each for pattern in patterns for each in (pattern, *(companion(kind, pattern) for kind in streaming_of(pattern)))]


def _bound(organizations: set[str]) -> None:
    most = conf.TOPIC_ORGANIZATIONS_MAX
    if len(organizations) > most:
        raise InvalidRequest(
            f"The topics of one connection may cover {most} organisations. Name them, or open another connection."
        )
