"""The running answers that one connection is told token by token, each from a stream of its own (see `streaming`)."""

from collections.abc import Awaitable, Callable, Iterable

from accounts.caller import Caller
from accounts.threads import in_thread
from events.conf import conf
from events.event import START, EventId
from events.hub import Hub
from events.streams import Stream
from events.topics import frames as topic_frames
from events.topics.cursor import Progress, SinceCursor
from events.topics.event import TopicEvent
from events.topics.frames import Told
from events.topics.grammar import Pattern, Topic
from events.topics.streaming import Streamed, Streaming, begun_by, streaming_of, topic_of

BEGUN = 1024
"""Of how many answers a connection remembers that it was told them."""


class Running:
    """Those that are followed now, TOPIC_ANSWERS_MAX at most; each has a place in the connection's cursor until it is over.

    `covers`: whether a topic is asked for. `seen`: those of events that the caller may see. `bell`: called when there is
    something to look at.
    """

    def __init__(
        self,
        hub: Hub,
        caller: Caller,
        progress: Progress,
        *,
        covers: Callable[[Topic], bool],
        seen: Callable[[list[TopicEvent]], Awaitable[list[TopicEvent]]],
        bell: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._caller = caller
        self._progress = progress
        self._covers = covers
        self._seen = seen
        self._bell = bell
        self._streamed: dict[Stream, Streamed] = {}
        self._begun: dict[str, None] = {}
        self._notices: list[Told] = []

    # Which are followed.

    async def follow_covered(self, pattern: Pattern, organizations: Iterable[str], since: SinceCursor | None) -> None:
        """What runs at this moment, from its beginning; with a cursor what ran then, from where its reader stood.

        What has begun after a cursor is found with the organisation's events.
        """
        places = since.running if since is not None else {}
        for kind in streaming_of(pattern):
            for organization in organizations:
                found = await in_thread(kind.running, self._caller, organization, pattern.resource_id, list(places))
                for message_id, resource_id in found:
                    if since is None or since.is_malformed or message_id in places:
                        place = places.get(message_id, START)
                        await self._follow(kind, message_id, topic_of(kind, organization, resource_id), place)
                        # Already in the cursor of `subscribed`: who is cut before the first token must find it again.
                        if Stream("message", message_id) in self._streamed:
                            self._progress.told.places.setdefault(Stream("message", message_id), place)

    async def follow_begun(self, event: TopicEvent) -> None:
        """The answer that has begun, if that is what the event says."""
        kind = begun_by(event.topic)
        message_id = event.at.data.get("event", {}).get("payload", {}).get("message_id") if kind is not None else None
        if kind is None or not isinstance(message_id, str):
            return
        await self._follow(kind, message_id, topic_of(kind, event.topic.organization, event.topic.resource_id), START)

    async def keep(self, wanted: Callable[[Topic], bool]) -> None:
        """Follows only those whose topics are wanted, from now on."""
        for streamed in list(self._streamed.values()):
            if not wanted(streamed.topic):
                await self._drop(streamed)

    async def close(self) -> None:
        """Leaves all."""
        await self.keep(lambda _: False)

    async def _follow(self, kind: Streaming, message_id: str, topic: Topic, place: EventId) -> None:
        if message_id in self._begun or not self._covers(topic):
            return
        self._begun[message_id] = None
        while len(self._begun) > BEGUN:
            del self._begun[next(iter(self._begun))]
        if len(self._streamed) >= conf.TOPIC_ANSWERS_MAX:
            self._notices.append(topic_frames.not_streamed(topic=topic, message_id=message_id, limit=conf.TOPIC_ANSWERS_MAX))
            self._bell()
            return
        streamed = Streamed(hub=self._hub, message_id=message_id, kind=kind, topic=topic, cursor=place, bell=self._bell)
        await streamed.__aenter__()
        self._streamed[streamed.stream] = streamed
        self._progress.at.places[streamed.stream] = place
        self._bell()

    async def _drop(self, streamed: Streamed) -> None:
        if self._streamed.pop(streamed.stream, None) is not None:
            self._progress.leave(streamed.stream)
            await streamed.__aexit__(None, None, None)

    # What is told of them.

    def notices(self) -> list[Told]:
        """Which are not followed, as there are too many; each is told once."""
        notices, self._notices = self._notices, []
        return notices

    async def look(self) -> list[Told]:
        """What comes next of one of them, and is there already."""
        told: list[Told] = []
        for streamed in list(self._streamed.values()):
            if told:
                break
            told = await self._tell(streamed)
        return told

    async def _tell(self, streamed: Streamed) -> list[Told]:
        stream, at, told = streamed.stream, self._progress.at, list[Told]()
        while not told and not streamed.is_over and (heard := await streamed.heard()) is not None:
            events = await self._seen(heard)
            if self._streamed.get(stream) is not streamed:
                return []
            for event in events:
                at.places[stream] = event.at.id
                told.append(topic_frames.event(event, at.cursor))
            at.places[stream] = streamed.cursor
            if streamed.is_over:
                await self._drop(streamed)
                # With the last one its place in the cursor is gone.
                told[-1:] = [topic_frames.event(event, at.cursor) for event in events[-1:]]
        return told
