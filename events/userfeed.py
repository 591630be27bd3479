"""The frames of the user feed (S0): one envelope per event, the same for every reader of a stream. No I/O."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from events import sse
from events.event import Event, to_json
from events.publishing import now_ms
from events.ring import Batch
from events.streams import Stream

RESTARTED = "backlog.restarted"


@dataclass(frozen=True, slots=True)
class UserFeedDialect:
    """Envelopes with `type, ts, user_id, topic, scope, payload, id` for one user's stream."""

    stream: Stream

    def frame(self, event: Event) -> bytes:
        """One `id:` and one `data:` line, no `event:`."""
        return sse.frame(to_json(self._envelope(event) | {"id": str(event.id)}), id=str(event.id))

    def pending_frame(self, event: Event) -> bytes:
        """An event that is told again because it is not over; without an id, it is not a place to resume from."""
        return sse.frame(to_json(self._envelope(event)))

    def gap_frames(self, batch: Batch) -> bytes:
        """The notice before a batch that does not follow what was told so far.

        A reader may forget its cursor at the notice. Where no event comes with it that gives a new one,
        a frame of its own does: what is published while the reader is away is then not lost to it.
        """
        if batch.events or batch.last is None:
            return truncated_frame(batch)
        return truncated_frame(batch) + self.frame(Event(batch.last, RESTARTED, {}, now_ms()))

    def _envelope(self, event: Event) -> dict[str, Any]:
        return {
            "type": event.type,
            "ts": _iso(event.at),
            "user_id": self.stream.id,
            "topic": self.stream.name,
            "scope": event.data.get("scope", {}),
            "payload": event.data.get("payload", event.data),
        }


EXPIRED = sse.frame(to_json({"type": "auth.expired", "payload": {}}))
"""The last frame of a reader whose credential is no longer good."""


def truncated_frame(batch: Batch) -> bytes:
    """Says that events are missing before this batch. Without an id: it is not a place to resume from."""
    oldest = str(batch.events[0].id) if batch.events else ""
    payload = {"oldest_retained_id": oldest, "reason": batch.reason}
    return sse.frame(to_json({"type": "backlog.truncated", "payload": payload}))


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"
