"""Topics whose events are too many for the stream of an organisation: they stay in durable streams of their own.

Tokens of an answer are `message_stream` events of their conversation (seed 001, "Message streaming"). In the organisation's
stream they would push out everything else; so whoever subscribes to them follows each running answer's own stream, and they
are merged on delivery. An event of the organisation says that one has begun; it has a place in the cursor as long as it runs.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from accounts.caller import Caller
from events.event import Event, EventId
from events.feed import Feed
from events.hub import Hub
from events.streams import Stream
from events.topics.event import TopicEvent, stored
from events.topics.grammar import WILDCARD, Pattern, Topic


@dataclass(frozen=True, slots=True)
class Streaming:
    """One kind of such events, registered by the app that makes them.

    `begins`: the event of the same resource that says in its payload's `message_id` that a stream has begun. `running`: gives
    (message id, resource id) of the streams that run now, and of those of the given ids, of an organisation and of one
    resource or all (`*`), as far as the caller may see them; runs in a thread. `payload`: what one entry of the stream is
    told as; None: it is not.
    """

    source: str
    resource: str
    event: str
    begins: str
    running: Callable[[Caller, str, str, Collection[str]], Collection[tuple[str, str]]]
    payload: Callable[[Event], dict[str, Any] | None]


_kinds: list[Streaming] = []


def register(streaming: Streaming) -> None:
    """Adds a kind."""
    _kinds.append(streaming)


def streaming_of(pattern: Topic) -> list[Streaming]:
    """The kinds whose events a pattern covers (or a topic is one of)."""
    return [
        kind
        for kind in _kinds
        if all(
            mine in (WILDCARD, theirs)
            for mine, theirs in zip(pattern.path, (kind.source, kind.resource, kind.event, pattern.resource_id), strict=True)
        )
    ]


def begun_by(topic: Topic) -> Streaming | None:
    """The kind of which an event on this topic says that a stream has begun."""
    for kind in _kinds:
        if (kind.source, kind.resource, kind.begins) == topic.path[:3]:
            return kind
    return None


def with_companions(patterns: Iterable[Pattern]) -> list[Pattern]:
    """The patterns, and those of the events that say that what they cover has begun elsewhere."""
    return [each for pattern in patterns for each in (pattern, *(_companion(kind, pattern) for kind in streaming_of(pattern)))]


def _companion(kind: Streaming, pattern: Pattern) -> Pattern:
    """What must be heard to know of new streams."""
    return Pattern(pattern.organization, kind.source, kind.resource, kind.begins, pattern.resource_id)


def topic_of(kind: Streaming, organization: str, resource_id: str) -> Topic:
    """The topic of the stream's events."""
    return Topic(organization, kind.source, kind.resource, kind.event, resource_id)


class Streamed(Feed):
    """One running stream, as its topic's events. Looked at by whoever has the subscription; `bell` wakes him."""

    def __init__(self, *, hub: Hub, message_id: str, kind: Streaming, topic: Topic, cursor: EventId, bell: Callable[[], None]):
        super().__init__(hub=hub, stream=Stream("message", message_id), cursor=cursor)
        self.topic = topic
        self.is_over = False
        self._kind = kind
        self._bell = bell

    def wake(self) -> None:
        """Has the one who looks look again."""
        self._bell()

    def keep_alive(self, due: float) -> None:
        """Nothing: who looks gives signs of life."""
        del due

    async def heard(self) -> list[TopicEvent] | None:
        """What comes next and is there already; None: nothing. `is_over` after the last."""
        batch = await self.look()
        if batch is None:
            return None
        self.is_over = batch.terminal
        return [event for entry in batch.events if (event := self._event(entry)) is not None]

    def _event(self, entry: Event) -> TopicEvent | None:
        payload = self._kind.payload(entry)
        if payload is None:
            return None
        message_id = self.stream.id
        about = {"message_id": message_id, "seq": entry.id.major}
        data = stored(self.topic, id=f"{message_id}-{entry.id.major}", at=entry.at / 1000, payload=about | payload)
        return TopicEvent(Event(entry.id, entry.type, data, entry.at), self.topic)
