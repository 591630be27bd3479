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

    def begun(self, message_id: str, conversation_id: str) -> bytes:
        """The frame of the beginning, without an id, for who goes on in the middle."""
        return sse.frame(to_json(_begun(message_id, conversation_id)))


def _begun(message_id: str, conversation_id: str) -> dict[str, Any]:
    return {"type": "message_id", "message_id": message_id, "conversation_id": conversation_id}


def _payloads(event: Event) -> list[dict[str, Any]]:
    data = event.data
    match event.type:
        case Type.STARTED:
            return [_begun(data["message_id"], data["conversation_id"])]
        case Type.TEXT_DELTA:
            return [{"type": "answer", "answer": data["text"]}]
        case Type.REASONING_DELTA:
            return [{"type": "thought", "thought": data["text"]}]
        case Type.SOURCES:
            return [{"type": "source", "source": data["sources"]}]
        case Type.COMPLETED:
            return [{"type": "id", "id": data["conversation_id"]}, {"type": "end"}]
        case Type.CANCELLED:
            return [{"type": "id", "id": data["conversation_id"]}, {"type": "end", "cancelled": True}]
        case Type.FAILED:
            return [{"type": "error", "error": data["message"], "code": data["code"], "retryable": data["retryable"]}]
    return _tool_payloads(event)


def _tool_payloads(event: Event) -> list[dict[str, Any]]:
    data = event.data
    match event.type:
        case Type.TOOL_CALL:
            return [_tool_call(data, "pending", arguments=data["arguments"])]
        case Type.TOOL_RESULT:
            return [_tool_result(data)]
        case Type.APPROVAL_REQUESTED if data["kind"] == "tool_call":
            return [{"type": "tool_calls_pending", "data": {"pending_tool_calls": _pending_calls(data)}}]
        case Type.APPROVAL_DECIDED if data["kind"] == "tool_call":
            return [_tool_decision(data)]
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


def _pending_calls(data: dict[str, Any]) -> list[dict[str, Any]]:
    """S0's fields of each call, and what deciding about it takes."""
    return [
        {
            "call_id": each["subject"],
            "name": each["title"],
            "tool_name": each["title"],
            "action_name": each["title"],
            "status": "awaiting_approval",
            **({"arguments": each["payload"]} if "payload" in each else {}),
            "approval_id": each["approval_id"],
            "payload_sha256": each["payload_sha256"],
            "editable": each["editable"],
            "expires_at": data["expires_at"],
        }
        for each in data["approvals"]
    ]


def _tool_decision(data: dict[str, Any]) -> dict[str, Any]:
    """An approved call is about to be made: to S0's clients it is pending again."""
    status = "pending" if data["status"] == "approved" else "denied"
    call = {"call_id": data["subject"], "name": data["title"]}
    decision = {name: data[name] for name in ("status", "decided_by", "feedback", "edited")}
    return _tool_call(call, status, approval_id=data["approval_id"], decision=decision)
