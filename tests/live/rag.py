"""Clients of the RAG chat (S2): frames with names, read in pieces of any size."""

import asyncio
import itertools
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RagFrame:
    """One event: its name, its id and its data."""

    event: str
    id: str | None
    data: dict[str, Any]


class RagParser:
    """Bytes in pieces of any size to events, as the HTML standard has it."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> list[RagFrame]:
        """The events that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [frame for line in lines if (frame := self._take(line.decode())) is not None]

    def _take(self, line: str) -> RagFrame | None:
        if line:
            name, _, value = line.partition(":")
            if name:
                self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        return (
            RagFrame(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"])) if "data" in fields else None
        )


class RagReader:
    """A client on a bare socket whose connections break after any number of bytes, headers and all.

    It asks with an Idempotency-Key until it knows the Location, and from then on resumes there with the last id it has seen.
    """

    def __init__(self, addresses: Sequence[str], token: str, body: dict[str, Any]) -> None:
        self.frames: list[RagFrame] = []
        self.place = ""
        self.over = False
        self.received = 0
        """Bytes of the last connection."""
        self._addresses = itertools.cycle(addresses)
        self._token = token
        self._body = json.dumps(body).encode()
        self._key = uuid.uuid4().hex

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(frame.data["content"] for frame in self.frames if frame.event == "text")

    async def read_to_end(self) -> "RagReader":
        """All that is left, over one connection."""
        await self.connect()
        return self

    async def connect(self, *, most: int | None = None, frames: int | None = None) -> None:
        """One connection to the next address: to its end, until `most` bytes have come, or until `frames` new frames have."""
        where = urlsplit(next(self._addresses))
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(self._request(where.netloc))
        raw, parser, before = b"", RagParser(), len(self.frames)
        parsed = 0
        try:
            while most is None or len(raw) < most:
                data = await reader.read(65536 if most is None else most - len(raw))
                raw += data
                body = self._body_of(raw)
                self._take(parser.feed(body[parsed:]))
                parsed = len(body)
                if not data or (frames is not None and len(self.frames) - before >= frames):
                    return
        finally:
            self.received = len(raw)
            writer.transport.abort()

    def _request(self, host: str) -> bytes:
        common = f"Host: {host}\r\nAuthorization: Bearer {self._token}\r\nConnection: close\r\n"
        if self.place:
            cursor = f"Last-Event-ID: {self.frames[-1].id}\r\n" if self.frames else ""
            return f"GET {self.place} HTTP/1.1\r\n{common}{cursor}\r\n".encode()
        head = f"POST /api/v1/chat/stream HTTP/1.1\r\n{common}Idempotency-Key: {self._key}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(self._body)}\r\n\r\n".encode() + self._body

    def _body_of(self, raw: bytes) -> bytes:
        """The body so far of a chunked HTTP/1.1 response (RFC 9112, section 7.1)."""
        head, whole, rest = raw.partition(b"\r\n\r\n")
        if not whole:
            return b""
        status, *headers = head.decode().split("\r\n")
        if status.split(" ")[1] == "204":
            self.over = True
            return b""
        assert status.split(" ")[1] == "200", raw
        self.place = next(line.split(": ", 1)[1] for line in headers if line.lower().startswith("location: "))
        body = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if length == 0:
                break
            body, rest = body + rest[:length], rest[length + 2 :]
        return body

    def _take(self, frames: list[RagFrame]) -> None:
        for frame in frames:
            assert not self.over, f"after the end: {frame}"
            self.frames.append(frame)
            self.over = frame.event in {"done", "error"}


def check_order(reader: RagReader, *, last: str = "done") -> None:
    """That a client has seen every frame once: one `sources`, then text, then the end."""
    numbers = [int(frame.id or "") for frame in reader.frames]
    assert numbers == sorted(set(numbers)), f"ids not strictly rising: {numbers}"
    names = [frame.event for frame in reader.frames]
    assert (names[0], set(names[1:-1]) - {"text"}, names[-1]) == ("sources", set(), last), names
