"""The frames of S3: named events, each with its `sequence`, which is also its `id`, and with one line of data.

Events that only refer to something large must come filled in: see `chat.services.job_states.filled`.
"""

from dataclasses import dataclass
from typing import Any

from chat.run_events import Type
from events import sse
from events.event import Event, to_json
from events.frames import timestamp

CANCELLED = "The job was cancelled."
RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class SuperDocsDialect:
    """Named events: intermediate, proposed_change, final, usage, error. What a client need not know has no frame."""

    def frame(self, event: Event) -> bytes:
        """The frame of one event, or nothing."""
        told = told_of(event)
        return sse.frame(to_json(told), id=str(event.id.major), event=told["type"]) if told else b""


def told_of(event: Event) -> dict[str, Any] | None:
    """The data of an event's frame, None where it has none. Its name is `type`."""
    told = _result(event) or _progress(event)
    if told is None:
        return None
    return told | {"sequence": event.id.major, "timestamp": timestamp(event.at / 1000)}


def _progress(event: Event) -> dict[str, Any] | None:
    data = event.data
    match event.type:
        case Type.PROGRESS:
            return {"type": "intermediate", "content": data["text"]}
        case Type.TOOL_CALL:
            return {"type": "intermediate", "content": f"Calling {data['name']}..."}
        case Type.CHANGE_PROPOSED:
            # The seed's clients parse it once more.
            return {"type": "proposed_change", "content": to_json(data["change"])}
        case Type.APPROVAL_DECIDED if data["kind"] == "proposed_change":
            return _decision(data)
    return None


def _decision(data: dict[str, Any]) -> dict[str, Any]:
    # Not called `status`: clients of the seed look for the job's in there.
    change, who = data["subject"], data["decided_by"]
    content = f"Change {change} was {data['status']} by {who}." if who else f"Nobody decided about change {change} in time."
    about = {"change_id": change, "decision": data["status"], "decided_by": who, "feedback": data["feedback"]}
    return {"type": "intermediate", "content": content} | about


def _result(event: Event) -> dict[str, Any] | None:
    data = event.data
    match event.type:
        case Type.JOB_RESULT:
            return {"type": "final", "content": data["response"], "result": result_of(data)}
        case Type.COMPLETED:
            used: dict[str, Any] = data.get("usage", {})
            return {"type": "usage"} | used
        case Type.FAILED:
            return error(data["message"], code=data["code"], retryable=data["retryable"])
        case Type.CANCELLED:
            return error(CANCELLED, code="cancelled", retryable=False)
    return None


def error(message: str, *, code: str, retryable: bool) -> dict[str, Any]:
    """The data of an `error` frame."""
    return {"type": "error", "error": message, "code": code, "retryable": retryable}


def result_of(data: dict[str, Any]) -> dict[str, Any]:
    """A job's result from the data of its `job.result`. `document_changes` is always an object: clients look into it unasked."""
    return {
        "response": data["response"],
        "session_id": data["session_id"],
        "document_changes": {
            "updated_html": data.get("updated_html"),
            "version_id": data["version_id"],
            "changes_summary": data["changes_summary"],
        },
        "usage": data["usage"],
    }
