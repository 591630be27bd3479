"""Readers of topics over `/ws/events`, who also ask for what is not theirs."""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.clients.calls import Person
from tests.faults.ledger import History

BEGINNING = "0-0"
OPTIONS: dict[str, Any] = {"open_timeout": 8, "ping_interval": 4, "ping_timeout": 8, "close_timeout": 1}
"""A line that is half open is noticed by the protocol's own pings."""


def note_topic_frame(history: History, frame: dict[str, Any]) -> None:
    """An event or a notice of a topic stream, on either transport."""
    if frame["type"] == "backlog.truncated":
        history.add("notice", stream=f"org:{frame['organizationId']}", what=frame["reason"])
    if frame["type"] != "event":
        return
    event = frame["event"]
    payload, stream = event["payload"], f"org:{event['organizationId']}"
    if message_id := payload.get("message_id"):
        history.add("owned", message_id=message_id, what=event["eventName"])
    if event["eventName"] == "message_stream":
        kind = "end" if payload.get("final") else "text"
        history.add_token(message_id, payload["seq"], kind, payload.get("status") or payload["text"])
    if "publisher" in payload:
        place = _place_in(frame["id"], event["organizationId"])
        history.add("event", stream=stream, id=place, publisher=payload["publisher"], n=payload["n"], what=frame["id"])


def _place_in(cursor: str, organization: str) -> str:
    """The place in one organisation of a cursor that may name several: opaque to clients, so `` where it is no plain id."""
    return cursor if cursor.replace("-", "").isdigit() else ""


class TopicSocketReader:
    """Subscribes to all of its organisations, in one frame with its cursor, as the documents say, and to those of others."""

    def __init__(
        self, fronts: Sequence[str], person: Person, chance: random.Random, *, name: str, foreign: Sequence[str] = ()
    ) -> None:
        self.history = History(name, person.name, tuple(f"org:{each}" for each in person.organizations), tokens={})
        self.connections = 0
        self._fronts = fronts
        self._person = person
        self._chance = chance
        self._cursor = BEGINNING
        self._foreign = [f"events.{each}.*.*.*.*" for each in foreign]
        self._topics = [f"events.{each}.*.*.*.*" for each in person.organizations]

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                await self._connect()
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    async def _connect(self) -> None:
        front = self._chance.choice(self._fronts).replace("http", "ws", 1)
        async with connect(f"{front}/ws/events?token={self._person.key}", **OPTIONS) as socket:
            topics, since = [*self._topics, *self._foreign], self._cursor
            await socket.send(json.dumps({"action": "subscribe", "topics": topics, "since": since}))
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "subscribed":
                    self.connections += 1
                    self.history.add(
                        "open", what=f"subscribed since {self._cursor}, recovered {frame['recovered']}: {frame['cursor']}"
                    )
                    if set(frame["topics"]) & set(self._foreign):
                        self.history.add("event", stream=self._foreign[0], what="subscribed")
                if frame["type"] == "error" and set(frame.get("topics", ())) & set(self._topics):
                    # Refused for now, as a store is away, after other topics were put in force: the cursor of `subscribed`
                    # knows nothing of these.
                    self.history.add("open", what=f"refused: {frame['code']} {frame['topics']}")
                    self._cursor = since
                    return
                note_topic_frame(self.history, frame)
                self._cursor = frame.get("id") or frame.get("cursor") or self._cursor
