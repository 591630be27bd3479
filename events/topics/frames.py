"""What subscribers are told, on every transport the same JSON. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from events import sse
from events.event import EventId, to_json
from events.exceptions import ThroughlineError
from events.frames import Frame, error_frame, with_ref
from events.topics.event import TopicEvent
from events.topics.grammar import Topic


@dataclass(frozen=True, slots=True)
class Told:
    """One frame: its JSON, the cursor of its reader after it (empty: it is no place to come back to), and of what topic it is."""

    text: str
    cursor: str = ""
    topic: Topic | None = None
    name: str = ""
    """The name of the event on an event stream; empty: `message`."""

    @property
    def sse(self) -> bytes:
        """The frame on an event stream."""
        return sse.frame(self.text, id=self.cursor or None, event=self.name or None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Patterns that were refused, and why."""

    patterns: tuple[str, ...]
    error: ThroughlineError


def event(of: TopicEvent, cursor: str) -> Told:
    """An event that matches."""
    return Told(of.frame(cursor), cursor, of.topic)


def subscribed(topics: Sequence[str], cursor: str, *, recovered: bool, ref: Any = None) -> Told:
    """These patterns are in force, for everything after the cursor."""
    frame = {"type": "subscribed", "topics": list(topics), "cursor": cursor, "recovered": recovered}
    return Told(to_json(with_ref(frame, ref)), cursor)


def unsubscribed(topics: Sequence[str], *, ref: Any = None) -> Told:
    """These patterns are no longer in force; nothing of them follows."""
    return Told(to_json(with_ref({"type": "unsubscribed", "topics": list(topics)}, ref)))


def place(cursor: str) -> Told:
    """Much happened that nobody here asked for: come back with this cursor."""
    return Told(to_json({"type": "cursor", "cursor": cursor}), cursor)


def not_streamed(*, topic: Topic, message_id: str, limit: int) -> Told:
    """An answer whose tokens are not told here, as too many others are: it is read at an address of its own."""
    message = f"The tokens of at most {limit} running answers are told over one connection. Read this one at {{}}."
    where = f"/api/messages/{message_id}/events"
    frame = {"type": "not_streamed", "topic": str(topic), "message_id": message_id, "message": message.format(where)}
    return Told(to_json(frame), topic=topic)


def refused(refusal: Refusal, *, ref: Any = None) -> Told:
    """An error that concerns some patterns; the others run on."""
    frame: Frame = error_frame(refusal.error, ref=ref) | {"topics": list(refusal.patterns)}
    return Told(to_json(frame), name="error")


def truncated(*, organization: str, reason: str, oldest: EventId | None, cursor: str) -> Told:
    """Events of an organisation are missing before those that follow: fetch the state anew."""
    payload = {"organizationId": organization, "oldest_retained_id": str(oldest or ""), "reason": reason}
    # As on the user feed the facts are in `payload`; sockets have them beside the type.
    return Told(to_json({"type": "backlog.truncated", **payload, "payload": payload, "cursor": cursor}))
