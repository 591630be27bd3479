"""The frames of a socket: JSON objects in text, what of them is refused, and how errors are told. No I/O.

Source: seed 004, "Client-to-Server Messages". A frame is read before anything looks into it, so that no
handler ever meets what neither Postgres nor the channel layer can hold.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from events.event import Event, storable
from events.exceptions import Forbidden, InvalidRequest, ThroughlineError, Unauthenticated
from events.ring import Batch

Frame = dict[str, Any]

MAX_DEPTH = 64
"""How deep a frame may be nested: far more than any of ours, far less than what exhausts a stack that renders it again."""

INVALID_TOKEN = "Invalid token"  # noqa: S105 - the seed's words for a close reason
EXAMPLE = '{"type":"ping"}'


def timestamp(at: float | None = None) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds and Z: now, or `at` in seconds since the epoch."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def longer_than(text: str, limit: int) -> bool:
    """Whether a text has more than `limit` bytes as UTF-8."""
    return len(text) > limit or (not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > limit)


def parse(text: str) -> Frame:
    """The frame in a text. Raises `InvalidRequest`."""
    try:
        frame = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest(f"The frame is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        # Also an integer of thousands of digits, which Python refuses to convert.
        raise InvalidRequest(f"The frame is not JSON. Send one JSON object in each text frame, such as {EXAMPLE}.") from None
    if not isinstance(frame, dict):
        raise InvalidRequest(f"The frame is JSON, but not an object. Send one such as {EXAMPLE}.")
    # Counted first: a frame without so many brackets need not be walked through.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(frame) > MAX_DEPTH:
        raise InvalidRequest(f"The frame is nested deeper than {MAX_DEPTH} levels.")
    clean: Frame = storable(frame)
    return clean


def type_of(frame: Frame) -> str:
    """What a client's frame asks for: its `type`, or `action`. Raises `InvalidRequest`."""
    kind = frame.get("type", frame.get("action"))
    if not isinstance(kind, str) or not kind:
        raise InvalidRequest(f'The frame has no "type". Send one such as {EXAMPLE}.')
    return kind


def text_field(frame: Frame, name: str, *, longest: int, default: str | None = None) -> str:
    """A field that holds text of 1 to `longest` characters; with a `default` it may be missing. Raises `InvalidRequest`."""
    value = frame.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f'"{name}" must be text, and not empty.')
    if len(value) > longest:
        raise InvalidRequest(f'"{name}" is longer than {longest} characters.')
    return value


def error_frame(error: ThroughlineError, *, ref: Any = None) -> Frame:
    """How a socket tells an error: what was wrong and what to do; `ref` is that of the frame which caused it."""
    frame: Frame = {"type": "error", "code": error.code, "message": error.message}
    if error.retry_after is not None:
        frame["retry_after"] = max(1, int(error.retry_after + 0.999))
    return with_ref(frame, ref)


def close_reason(error: ThroughlineError) -> str:
    """Why a socket is closed: in the seed's words where it has some."""
    if isinstance(error, Unauthenticated):
        return INVALID_TOKEN
    if isinstance(error, Forbidden):
        return "Forbidden"
    return error.message


def truncated_frame(batch: Batch, *, told: Callable[[Event], bool] | None = None) -> Frame:
    """Says that events are missing before this batch: fetch the state anew. `told`: which of its events make frames, if not all.

    With an `id`, the new cursor, where no frame follows that has one.
    """
    events = batch.events if told is None else [event for event in batch.events if told(event)]
    oldest = str(events[0].id) if events else ""
    frame: Frame = {"type": "backlog.truncated", "oldest_retained_id": oldest, "reason": batch.reason}
    return frame if events or batch.last is None else frame | {"id": str(batch.last)}


def with_ref(frame: Frame, ref: Any) -> Frame:
    """The answer to a frame that carried this `ref` (None: none)."""
    return frame if ref is None else frame | {"ref": ref}


def _refuse_constant(name: str) -> None:
    # NaN and Infinity are no JSON: no other client could read them again.
    raise ValueError(name)


def _depth(value: Any) -> int:
    """How many objects and lists are around each other, counted without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        level = [item for item in inner if isinstance(item, dict | list)]
    return depth
