"""What a stream is, which kinds there are, and how their cursors are written. No I/O."""

import re
from dataclasses import dataclass

from events.event import START, EventId
from events.exceptions import InvalidRequest


@dataclass(frozen=True, slots=True)
class StreamKind:
    """A family of streams.

    Durable: one fenced writer, ids 1, 2, 3..., kept in broker and journal. Otherwise a
    backlog: anyone writes, the broker gives the ids, and keeps the last of them.
    Internal: between the processes of this server; no client reads or writes it.
    """

    name: str
    durable: bool
    internal: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        StreamKind("message", durable=True),
        StreamKind("execution", durable=True),
        StreamKind("user", durable=False),
        StreamKind("org", durable=False),
        StreamKind("workspace", durable=False),
        StreamKind("server", durable=False, internal=True),
    )
}


@dataclass(frozen=True, slots=True)
class Stream:
    """An ordered, append-only log of events, named `kind:id`."""

    kind: str
    id: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidRequest(f"There is no kind of stream called {self.kind!r}. Known kinds: {', '.join(KINDS)}.")

    @property
    def name(self) -> str:
        """How the stream is called everywhere: `message:5f3c...`."""
        return f"{self.kind}:{self.id}"

    @property
    def durable(self) -> bool:
        """Whether the stream is journaled and densely numbered."""
        return KINDS[self.kind].durable

    @property
    def internal(self) -> bool:
        """Whether the stream is between the processes of this server."""
        return KINDS[self.kind].internal

    @classmethod
    def parse(cls, name: str) -> "Stream":
        """The stream of a name; raises `InvalidRequest`."""
        kind, colon, id_ = name.partition(":")
        if not colon or not id_:
            raise InvalidRequest(f"A stream's name has the form kind:id, not {name!r}.")
        return cls(kind, id_)


_DENSE = re.compile(r"[0-9]{1,18}", re.ASCII)
_BACKLOG = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def parse_cursor(stream: Stream, text: str) -> EventId | None:
    """The position a client's cursor names, or None when it has the wrong form.

    Durable streams: decimal digits. Backlogs: `ms-n`. `0` and `0-0` are before everything.
    """
    text = text.strip()
    if text in {"0", "0-0"}:
        return START
    if stream.durable:
        return EventId(int(text), 0) if _DENSE.fullmatch(text) else None
    match = _BACKLOG.fullmatch(text)
    return EventId(int(match[1]), int(match[2])) if match else None


def format_cursor(stream: Stream, event_id: EventId) -> str:
    """How a position is written to clients of that stream."""
    return str(event_id.major) if stream.durable else str(event_id)
