"""What an event is, and the registry of event types. No I/O."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class EventId(NamedTuple):
    """Place of an event in its stream; ordered. Durable streams use (n, 0), backlogs Redis' (ms, n)."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}-{self.minor}"


START = EventId(0, 0)
"""The cursor before every event."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a stream. `at` is when it was made, in milliseconds since the epoch."""

    id: EventId
    type: str
    data: dict[str, Any]
    at: int


@dataclass(frozen=True, slots=True)
class EventType:
    """What is known about all events of one type.

    `terminal`: the last event of its stream. `joined`: the field whose text may be
    concatenated when neighbouring events agree in all others, which keeps replays short.
    """

    name: str
    meaning: str
    terminal: bool = False
    joined: str | None = None


EVENT_TYPES: dict[str, EventType] = {}
"""Every type that the product publishes, by name; apps add theirs with `register`."""


def register(*types: EventType) -> None:
    """Adds types to `EVENT_TYPES`; the same name twice is a mistake."""
    for each in types:
        if EVENT_TYPES.setdefault(each.name, each) != each:
            raise ValueError(f"The event type {each.name!r} is registered twice.")


def is_terminal(event: Event) -> bool:
    """Whether nothing can follow this event in its stream."""
    known = EVENT_TYPES.get(event.type)
    return known is not None and known.terminal


def _joinable(first: Event, second: Event, joined: str) -> bool:
    if first.type != second.type or first.data.keys() != second.data.keys():
        return False
    return all(first.data[key] == second.data[key] for key in first.data if key != joined)


def compact(events: Iterable[Event], *, max_chars: int = 16384) -> list[Event]:
    """The same text in fewer events: neighbours of a joinable type become one with the last id.

    A joined event holds at most about `max_chars` characters, so that a long answer still
    arrives in parts.
    """
    result: list[Event] = []
    parts: list[str] = []
    size = 0

    def close() -> None:
        if len(parts) > 1:
            last = result[-1]
            joined = EVENT_TYPES[last.type].joined or ""
            result[-1] = Event(last.id, last.type, last.data | {joined: "".join(parts)}, last.at)

    for event in events:
        known = EVENT_TYPES.get(event.type)
        joined = known.joined if known is not None else None
        text = event.data.get(joined) if joined is not None else None
        if not isinstance(text, str):
            close()
            result.append(event)
            parts = []
            continue
        if parts and size < max_chars and _joinable(result[-1], event, str(joined)):
            parts.append(text)
            size += len(text)
            result[-1] = Event(event.id, event.type, result[-1].data, event.at)
            continue
        close()
        result.append(event)
        parts, size = [text], len(text)
    close()
    return result


def to_json(value: Any) -> str:
    """Compact JSON in ASCII: survives every client's line splitting (no raw U+2028) and encoding."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The same JSON value with text that Postgres can hold: surrogate halves joined, lone ones and NUL as U+FFFD."""
    if isinstance(value, str):
        if not _UNSTORABLE.search(value):
            return value
        return value.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def pack(type_: str, data: dict[str, Any], at: int) -> str:
    """An event without its id, as the broker keeps it."""
    return to_json({"type": type_, "data": data, "at": at})


def unpack(event_id: EventId, packed: bytes | str) -> Event:
    """The event that `pack` packed."""
    value = json.loads(packed)
    return Event(event_id, value["type"], value["data"], value["at"])
