"""The frames of S0: one JSON object per `data:` line, told apart by `type`."""

from dataclasses import dataclass
from typing import Any

from chat.run_events import Type
from events import sse
from events.event import Event, to_json


@dataclass(frozen=True, slots=True)
class DocsGPTDialect:
    """Answer frames: message_id, answer, thought, source, tool_call, id, end, error."""

    def frame(self, event: Event) -> bytes:
        """The frames of one event; empty for those this client does not know (block bounds, usage)."""
        payloads = _payloads(event)
        if not payloads:
            return b""
        # Only the last frame carries the id: a client cut between them asks for the whole event again.
        *first, last = (to_json(payload) for payload in payloads)
        return b"".join(map(sse.frame, first)) + sse.frame(last, id=str(event.id.major))


def _payloads(event: Event) -> list[dict[str, Any]]:
    data = event.data
    match event.type:
        case Type.STARTED:
            return [{"type": "message_id", "message_id": data["message_id"], "conversation_id": data["conversation_id"]}]
        case Type.TEXT_DELTA:
            return [{"type": "answer", "answer": data["text"]}]
        case Type.REASONING_DELTA:
            return [{"type": "thought", "thought": data["text"]}]
        case Type.SOURCES:
            return [{"type": "source", "source": data["sources"]}]
        case Type.TOOL_CALL:
            return [_tool_call(data, "pending", arguments=data["arguments"])]
        case Type.TOOL_RESULT:
            return [_tool_result(data)]
        case Type.COMPLETED:
            return [{"type": "id", "id": data["conversation_id"]}, {"type": "end"}]
        case Type.CANCELLED:
            return [{"type": "id", "id": data["conversation_id"]}, {"type": "end", "cancelled": True}]
        case Type.FAILED:
            return [{"type": "error", "error": data["message"], "code": data["code"], "retryable": data["retryable"]}]
    return []


def _tool_call(data: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    """S0's clients know a tool and an action of it; ours are one, under both names."""
    named = {"call_id": data["call_id"], "tool_name": data["name"], "action_name": data["name"], "status": status}
    return {"type": "tool_call", "data": named | more}


def _tool_result(data: dict[str, Any]) -> dict[str, Any]:
    if data["status"] == "completed":
        return _tool_call(data, "completed", result=data["content"])
    # S0 has no word for a call that nobody decided about in time.
    return _tool_call(data, "denied" if data["status"] == "expired" else data["status"], error=data["error"])
