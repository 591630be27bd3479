"""Server-sent events out of bytes, without I/O (WHATWG HTML, section 9.2.6).

Not `httpx.Response.aiter_lines`: that splits like `str.splitlines`, so a U+2028 or U+0085 in
an answer tears its JSON apart. Lines end here only at LF, CRLF or CR, looked for in bytes:
those bytes never occur inside a UTF-8 character, so a character cut between two chunks is
whole again when its line is decoded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its `event` name ("" when none was given) and its data."""

    name: str
    data: str


class SSEError(ValueError):
    """The bytes are no event stream, or a line or an event is longer than allowed."""


class SSEParser:
    """Feed it bytes, take events.

    `limit` bounds, in bytes, a line and also the data of one event. Bytes that are not UTF-8
    become U+FFFD. A line that is no field before the first event means that this is no event
    stream at all; later ones are ignored, as the standard says.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._skip_lf = False
        self._at_start = True
        self._strict = True
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that `chunk` completes; raises `SSEError` after those that came before the fault."""
        if not chunk:
            return
        if self._skip_lf and chunk[:1] == b"\n":
            chunk = chunk[1:]  # the rest of a CRLF that was cut: its line has already ended
        self._skip_lf = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        for piece in lines:
            event = self._take(self._whole(piece))
            if event is not None:
                yield event
        self._line += rest
        self._check(len(self._line))

    def finish(self) -> Iterator[ServerSentEvent]:
        """The event that lacks only its closing blank line: some providers close right after it."""
        self._take(self._whole(b""))
        event = self._take(b"")
        if event is not None:
            yield event

    def _whole(self, piece: bytes) -> bytes:
        """The line that ends with `piece`."""
        self._check(len(self._line) + len(piece))
        line = bytes(self._line) + piece if self._line else piece
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        return line

    def _take(self, line: bytes) -> ServerSentEvent | None:
        """Interprets one line without its end."""
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        if not field:
            return None  # a comment: some providers send them as keep-alives
        if self._strict and field not in _FIELDS:
            raise SSEError("not an event stream")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value) + 1
            self._check(self._size)
            self._data.append(value)
        elif field == b"event":
            self._name = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = b"", [], 0
        if not data:
            return None
        self._strict = False
        return ServerSentEvent(name.decode(errors="replace"), b"\n".join(data).decode(errors="replace"))

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise SSEError(f"a line or event of more than {self._limit} bytes")
