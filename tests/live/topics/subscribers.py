"""Subscribers that come back with their cursor when they are cut off, over either transport; each notes what it was told."""

import asyncio
import json
import random
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.live.processes import Stack
from tests.live.readers import SseParser

Frame = dict[str, Any]


class Subscriber:
    """One client that keeps nothing but its cursor. `chance` decides after how many frames it cuts its own line."""

    def __init__(self, stack: Stack, token: str, topics: list[str], *, chance: random.Random, at: int = 0) -> None:
        self.stack = stack
        self.token = token
        self.topics = topics
        self.cursor = ""
        self.frames: list[Frame] = []
        self.cuts = 0
        self.ready = asyncio.Event()
        self._chance = chance
        self._at = at
        self._task = asyncio.create_task(self._run())

    @property
    def numbers(self) -> list[Any]:
        """(organisation, number) of each event, as they came."""
        return [(f["event"]["organizationId"], f["event"]["payload"]["n"]) for f in self.of("event")]

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            left = self._chance.randint(3, 40)
            try:
                await self._connect(self.stack.addresses[self._at % len(self.stack.addresses)], left)
            except (OSError, ConnectionClosed, InvalidHandshake, httpx.HTTPError):
                await asyncio.sleep(0.1)
            self.cuts += 1
            self._at += 1

    async def _connect(self, address: str, left: int) -> None:
        raise NotImplementedError

    def _take(self, frame: Frame, cursor: str | None) -> None:
        self.frames.append(frame)
        self.cursor = cursor or self.cursor
        if frame["type"] == "subscribed":
            self.ready.set()


class SocketSubscriber(Subscriber):
    """Over `/ws/events`."""

    async def _connect(self, address: str, left: int) -> None:
        async with connect(f"{address.replace('http', 'ws', 1)}/ws/events?token={self.token}") as socket:
            since = {"since": self.cursor} if self.cursor else {}
            await socket.send(json.dumps({"action": "subscribe", "topics": self.topics, **since}))
            async for text in socket:
                frame = json.loads(text)
                self._take(frame, frame.get("id") or frame.get("cursor"))
                left -= frame["type"] == "event"
                if left <= 0:
                    # Without a word, as a line that is cut.
                    socket.transport.abort()
                    return


class StreamSubscriber(Subscriber):
    """Over `/api/topics`, with what a browser's EventSource keeps."""

    async def _connect(self, address: str, left: int) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        parser = SseParser()
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", f"{address}/api/topics", params={"topic": self.topics}, headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for data in response.aiter_raw():
                for frame in parser.feed(data):
                    self._take(frame.data, frame.id)
                    left -= frame.data["type"] == "event"
                    if left <= 0:
                        return
