"""What the tests of the user feed do over HTTP: one connection at a time, seen in every detail; and publishing."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.live.processes import Stack
from tests.live.readers import Frame, SseParser
from tests.patience import patiently


@dataclass(frozen=True)
class Person:
    """A user of the server, its access token and an API key."""

    id: str
    token: str
    key: str


class Connection:
    """One `GET /api/events`. Use it with `async with`: on entry its status and headers have come.

    `frames` and `raw` grow as they come; `over`: the server has ended the response.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        cursor: str | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        path: str = "/api/events",
    ) -> None:
        self.frames: list[Frame] = []
        self.raw = b""
        self.over = False
        self.broken = False
        self._request = {
            "url": f"{address}{path}",
            "params": query or {},
            "headers": ({"Authorization": f"Bearer {token}"} if token else {})
            | ({"Last-Event-ID": cursor} if cursor else {})
            | (headers or {}),
        }
        self._changed = asyncio.Event()
        self._opened: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Connection":
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(patiently(15)):
            self.response = await self._opened
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def types(self) -> list[str]:
        """The types of its frames, in order."""
        return [frame.data["type"] for frame in self.frames]

    @property
    def stored(self) -> list[Frame]:
        """Its frames with an id."""
        return [frame for frame in self.frames if frame.id is not None]

    @property
    def numbers(self) -> list[int]:
        """Which of the events of `publish` came."""
        return [frame.data["payload"]["n"] for frame in self.frames if "n" in frame.data["payload"]]

    async def until(self, holds: Callable[["Connection"], Any], *, within: float = 10) -> None:
        """Returns when `holds` is true of it; raises AssertionError."""
        try:
            async with asyncio.timeout(patiently(within)):
                while not holds(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"within {within:g} s only {len(self.frames)} frames: {self.frames[-3:]}, {self.over=}"
            ) from None

    async def _read(self) -> None:
        try:
            async with (
                httpx.AsyncClient(timeout=httpx.Timeout(20, read=None)) as client,
                client.stream("GET", **self._request) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                self._opened.set_result(response)
                parser = SseParser()
                if response.status_code == 200:
                    async for data in response.aiter_raw():
                        self.raw += data
                        self.frames += parser.feed(data)
                        self._changed.set()
                assert parser.at_boundary
        except httpx.TransportError as error:
            self.broken = True
            if not self._opened.done():
                self._opened.set_exception(error)
        self.over = True
        self._changed.set()


class Publisher:
    """Another service that publishes over HTTP with a staff credential, to one web process after the other."""

    def __init__(self, stack: Stack, token: str) -> None:
        self._addresses = itertools.cycle(stack.addresses[:2])
        self._client = httpx.AsyncClient(timeout=20, headers={"Authorization": f"Bearer {token}"})
        self._numbers = itertools.count()

    async def __aenter__(self) -> "Publisher":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, body: Any, *, headers: dict[str, str] | None = None) -> httpx.Response:
        """`POST /api/v1/events`."""
        return await self._client.post(f"{next(self._addresses)}/api/v1/events", json=body, headers=headers)

    async def publish(self, person: Person, count: int = 1) -> list[str]:
        """Publishes so many events, numbered on; their ids."""
        ids: list[str] = []
        while len(ids) < count:
            events = [
                {"user": person.id, "type": "source.ingest.progress", "payload": {"n": next(self._numbers)}}
                for _ in range(min(100, count - len(ids)))
            ]
            response = await self.post(events)
            assert response.status_code == 202, response.text
            ids += response.json()["ids"]
        return ids

    async def keep_publishing(self, person: Person, *, per_second: float) -> list[str]:
        """Publishes one by one until cancelled; their ids."""
        ids: list[str] = []
        publishing: asyncio.Task[list[str]] | None = None
        try:
            while True:
                publishing = asyncio.create_task(self.publish(person))
                ids += await asyncio.shield(publishing)
                publishing = None
                await asyncio.sleep(1 / per_second)
        except asyncio.CancelledError:
            # What is under way is published all the same.
            return ids + (await publishing if publishing is not None else [])


def order(event_id: str) -> tuple[int, int]:
    """The place of an id."""
    major, minor = event_id.split("-")
    return int(major), int(minor)


def in_order(ids: Sequence[str]) -> bool:
    """Whether each id comes after the one before it."""
    return all(order(first) < order(second) for first, second in itertools.pairwise(ids))


def backlog_key(person: Person) -> str:
    """What the broker calls a user's stream."""
    return f"tl:{{user:{person.id}}}"


def with_token(person: Person, token: str) -> Person:
    """The same user with another credential."""
    return dataclasses.replace(person, token=token)
