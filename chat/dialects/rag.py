"""The frames of S2: one `sources`, many `text`, one `done` or `error`; each with the id to resume from."""

from dataclasses import dataclass
from typing import Any

from chat.run_events import Type
from events import sse
from events.event import Event, to_json


@dataclass(frozen=True, slots=True)
class RAGDialect:
    """Named events: sources, text, done, error. Reasoning, usage and block bounds have no frame here."""

    def frame(self, event: Event) -> bytes:
        """The frame of one event, or nothing."""
        named = _named(event)
        return sse.frame(to_json(named[1]), id=str(event.id.major), event=named[0]) if named else b""


def _named(event: Event) -> tuple[str, dict[str, Any]] | None:
    match event.type:
        case Type.SOURCES:
            # `missing`: named sources that are not there.
            return "sources", {name: event.data[name] for name in ("sources", "missing") if name in event.data}
        case Type.TEXT_DELTA:
            return "text", {"content": event.data["text"]}
        case Type.COMPLETED:
            return "done", {"completed": True}
        case Type.CANCELLED:
            return "error", {"code": "cancelled", "message": "The answer was stopped."}
        case Type.FAILED:
            return "error", {"code": event.data["code"], "message": event.data["message"]}
    return None
