"""Real clients. Each keeps nothing but a cursor and what it has seen, and comes back when it is cut off."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.patience import patiently

TERMINAL = {"end", "error"}


@dataclass(frozen=True)
class Frame:
    """One event as a client sees it; `at` is of `time.monotonic()`."""

    id: str | None
    data: dict[str, Any]
    at: float


class SseParser:
    """Bytes in pieces of any size to events, as the HTML standard has it: an id counts when its event is whole."""

    def __init__(self) -> None:
        self.comments: list[float] = []
        self._rest = b""
        self._id: str | None = None
        self._data: list[str] = []

    @property
    def at_boundary(self) -> bool:
        """Whether no event or line is half read."""
        return not self._rest and not self._data and self._id is None

    def feed(self, data: bytes) -> list[Frame]:
        """The events that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [frame for line in lines if (frame := self._take(line.decode())) is not None]

    def _take(self, line: str) -> Frame | None:
        if not line:
            frame = Frame(self._id, json.loads("\n".join(self._data)), time.monotonic()) if self._data else None
            self._id, self._data = None, []
            return frame
        name, _, value = line.partition(":")
        match name:
            case "":
                self.comments.append(time.monotonic())
            case "id":
                self._id = value.removeprefix(" ")
            case "data":
                self._data.append(value.removeprefix(" "))
        return None


@dataclass
class Seen:
    """What a client has seen so far, over all its connections."""

    frames: list[Frame] = field(default_factory=list)
    cursor: str | None = None
    over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def add(self, frames: Sequence[Frame], is_last: Callable[[Frame], bool]) -> None:
        """More frames; nothing after the last one."""
        for frame in frames:
            assert not self.over, f"{frame} came after the end"
            self.frames.append(frame)
            self.cursor = frame.id or self.cursor
            self.over = is_last(frame)
        if frames:
            self.changed.set()

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(frame.data["answer"] for frame in self.frames if frame.data["type"] == "answer")

    @property
    def ids(self) -> list[str]:
        """Ids in the order in which they came."""
        return [frame.id for frame in self.frames if frame.id is not None]

    @property
    def last(self) -> dict[str, Any]:
        """The data of the last frame."""
        return self.frames[-1].data

    async def until(self, holds: Callable[["Seen"], bool], *, within: float) -> None:
        """Returns when `holds` is true of what was seen; raises AssertionError."""
        try:
            async with asyncio.timeout(patiently(within)):
                while not holds(self):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"within {within:g} s only {len(self.frames)} frames: {self.frames[-3:]}") from None


def is_terminal(frame: Frame) -> bool:
    """Whether an answer ends here."""
    return frame.data["type"] in TERMINAL


class Reader(Seen):
    """An httpx client of one stream that comes back, to one address after the other, until the stream has ended.

        async with Reader(stack.addresses, f"/api/messages/{id}/events", token) as reader:
            await reader.until(lambda seen: seen.over, within=10)

    `connections` counts its connections, `refused` the answers that were not streams.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        path: str,
        token: str,
        *,
        cursor: str | None = None,
        is_last: Callable[[Frame], bool] = is_terminal,
    ) -> None:
        super().__init__(cursor=cursor)
        self.addresses = list(addresses)
        self.path = path
        self.connections = 0
        self.refused: list[int] = []
        self.heard: list[float] = []
        """When anything came, keep-alives too."""
        self._token = token
        self._is_last = is_last
        self._connection: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Reader":
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        self.cut()
        results = await asyncio.gather(self._running, self._connection, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    def cut(self) -> None:
        """Breaks the connection it has, wherever it is."""
        self._connection.cancel()

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=30)) as client:
            for address in itertools.cycle(self.addresses):
                if self.over:
                    return
                self._connection = asyncio.create_task(self._connect(client, address))
                await asyncio.wait([self._connection])
                error = None if self._connection.cancelled() else self._connection.exception()
                if error is not None and not isinstance(error, httpx.TransportError):
                    self.over = True
                    self.changed.set()
                    raise error
                await asyncio.sleep(0.02)  # a client's pause before it comes back

    async def _connect(self, client: httpx.AsyncClient, address: str) -> None:
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        async with client.stream("GET", f"{address}{self.path}", headers=headers) as response:
            if response.status_code != 200:
                self.refused.append(response.status_code)
                self.over = response.status_code == 204
                self.changed.set()
                return
            self.connections += 1
            self.changed.set()
            parser = SseParser()
            async for data in response.aiter_raw():
                self.heard.append(time.monotonic())
                self.add(parser.feed(data), self._is_last)

    def longest_silence(self, since: float, until: float) -> float:
        """The longest time without a byte, in seconds, between two moments of `time.monotonic()`."""
        moments = [since, *(at for at in self.heard if since < at < until), until]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))


class RawReader(Seen):
    """A client on a bare socket, whose connections break after an exact number of bytes, headers and all."""

    def __init__(self, addresses: Sequence[str], path: str, token: str) -> None:
        super().__init__()
        self.received = 0
        """Bytes of the last connection."""
        self.ended_cleanly = False
        """Whether the last connection ended with the response, between two events."""
        self._addresses = itertools.cycle(addresses)
        self._path = path
        self._token = token

    async def connect(self, *, most: int | None = None) -> None:
        """One connection to the next address, to its end or until `most` bytes have come."""
        where = urlsplit(next(self._addresses))
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        cursor = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
        request = f"GET {self._path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {self._token}\r\n{cursor}"
        writer.write(f"{request}Connection: close\r\n\r\n".encode())
        self.received = 0
        body, parser = _Body(), SseParser()
        try:
            while most is None or self.received < most:
                data = await reader.read(65536 if most is None else most - self.received)
                if not data:
                    return
                self.received += len(data)
                self.add(parser.feed(body.feed(data)), is_terminal)
        finally:
            self.over = self.over or body.status == 204
            self.ended_cleanly = body.complete and parser.at_boundary
            writer.transport.abort()


class _Body:
    """A chunked HTTP/1.1 response in pieces of any size to its body (RFC 9112, section 7.1)."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.complete = False
        self._raw = b""

    def feed(self, data: bytes) -> bytes:
        self._raw += data
        if self.status is None:
            head, whole, rest = self._raw.partition(b"\r\n\r\n")
            if not whole:
                return b""
            self.status = int(head.split(b" ", 2)[1])
            assert self.status in {200, 204}, self._raw
            self._raw = rest
        return b"".join(iter(self._chunk, b""))

    def _chunk(self) -> bytes:
        """The next whole chunk; empty when it is not there yet, or the last."""
        self.complete = self.complete or self._raw == b"0\r\n\r\n"
        size, line, rest = self._raw.partition(b"\r\n")
        length = int(size, 16) if line else -1
        if length < 1 or len(rest) < length + 2:
            return b""
        self._raw = rest[length + 2 :]
        return rest[:length]


def check_answer(seen: Seen, text: str, *, last: str = "end") -> None:
    """That a client has seen exactly this text, every event once and in order, and one terminal frame."""
    numbers = [int(each) for each in seen.ids]
    assert numbers == sorted(set(numbers)), f"ids not strictly rising: {numbers}"
    assert seen.text == text
    assert [frame.data["type"] for frame in seen.frames if is_terminal(frame)] == [last], seen.frames[-3:]
