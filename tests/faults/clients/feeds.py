"""Readers of backlog streams over SSE: a user's feed, and topics."""

import random
from collections.abc import Sequence
from urllib.parse import urlencode

from tests.faults.clients.calls import Person
from tests.faults.clients.event_source import EventSource
from tests.faults.clients.topics import note_topic_frame
from tests.faults.ledger import History
from tests.live.readers import Frame

BEGINNING = "0-0"


class FeedReader:
    """`GET /api/events` of one person."""

    def __init__(self, fronts: Sequence[str], person: Person, chance: random.Random, *, name: str) -> None:
        self.stream = f"user:{person.id}"
        self.history = History(name, person.name, (self.stream,))
        self.source = EventSource(fronts, person, "/api/events", take=self._take, chance=chance, cursor=BEGINNING)

    def _take(self, frame: Frame) -> bool:
        data = frame.data
        if data["type"] == "backlog.truncated":
            self.history.add("notice", stream=self.stream, what=str(data["payload"]["reason"]))
        elif frame.id is not None:
            payload = data["payload"]
            if message_id := payload.get("message_id"):
                self.history.add("owned", message_id=message_id, what=data["type"])
            self.history.add(
                "event",
                stream=data["topic"],
                id=frame.id,
                publisher=payload.get("publisher", ""),
                n=payload.get("n", -1),
                what=data["type"],
            )
        return False


class TopicStreamReader:
    """`GET /api/topics` of one person, for all that may be heard in its organisations."""

    def __init__(self, fronts: Sequence[str], person: Person, chance: random.Random, *, name: str) -> None:
        self.history = History(name, person.name, tuple(f"org:{each}" for each in person.organizations), tokens={})
        topics = [("topic", f"events.{each}.*.*.*.*") for each in person.organizations]
        self.source = EventSource(
            fronts, person, f"/api/topics?{urlencode([*topics, ('since', BEGINNING)])}", take=self._take, chance=chance
        )

    def _take(self, frame: Frame) -> bool:
        if frame.data["type"] == "subscribed":
            self.history.add("open", what=f"recovered {frame.data['recovered']}: {frame.data['cursor']}")
        if frame.data["type"] == "error":
            self.history.add("open", what=f"refused: {frame.data['code']} {frame.data.get('topics')}")
        note_topic_frame(self.history, frame.data)
        return False
