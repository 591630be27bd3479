"""The event of a topic: as it is stored in the stream of its organisation, and as every client sees it. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from events.event import Event, EventType, register, to_json
from events.exceptions import InvalidRequest
from events.frames import timestamp
from events.streams import Stream
from events.topics.grammar import Topic, parse_topic

TOPIC_EVENT = EventType("topic.event", "Something happened on a topic of an organisation: `topic`, `event`.")
register(TOPIC_EVENT)


def organization_stream(organization_id: str) -> Stream:
    """The stream of all topics of the organisation with this public id."""
    return Stream("org", organization_id)


def stored(
    topic: Topic, *, id: str, at: float, payload: Mapping[str, Any], tags: Sequence[str] = (), publisher: str = ""
) -> dict[str, Any]:
    """What is kept of an event that was published at `at` (epoch seconds): the data of a `topic.event`.

    `publisher`: the public id of the user who published it; empty: this server.
    """
    metadata: dict[str, Any] = {"filters": dict(topic.filters), "tags": list(tags)}
    if publisher:
        metadata["publisher"] = publisher
    event = {
        "id": id,
        "organizationId": topic.organization,
        "source": topic.source,
        "resource": topic.resource,
        "resourceId": topic.resource_id,
        "eventName": topic.event,
        "timestamp": timestamp(at),
        "payload": dict(payload),
        "metadata": metadata,
    }
    return {"topic": str(topic), "event": event}


@dataclass(frozen=True)
class TopicEvent:
    """One event of an organisation's stream; encoded once for all who are told it in this process."""

    at: Event
    topic: Topic

    @classmethod
    def read(cls, event: Event) -> "TopicEvent | None":
        """The topic's event in an entry of the stream; None for an entry that is none."""
        topic = event.data.get("topic")
        if event.type != TOPIC_EVENT.name or not isinstance(topic, str):
            return None
        try:
            return cls(event, parse_topic(topic))
        except InvalidRequest:
            # Stored under other settings, when more segments were allowed. Nobody could subscribe to it.
            return None

    @cached_property
    def json(self) -> str:
        """The members of the frame after `id`, as JSON: `"topic":...,"event":...}`."""
        return f'"topic":{to_json(str(self.topic))},"event":{to_json(self.at.data.get("event", {}))}}}'

    def frame(self, cursor: str) -> str:
        """The `event` frame, the same on all transports; `cursor` is where its reader stands after it."""
        return f'{{"type":"event","id":{to_json(cursor)},{self.json}'
