"""What is recorded of an execution, and how clients call it. No I/O. Source: seed 004, "Plugin Debug WebSocket"."""

from enum import StrEnum

from events.event import EventType, register


class Type(StrEnum):
    """Names of the events."""

    LOG = "execution.log"
    TRACE = "execution.trace"
    STEP = "execution.step"
    VARIABLE = "execution.variable"
    API_CALL = "execution.api_call"
    COMPLETE = "execution.complete"
    ERROR = "execution.error"
    STARTED = "plugin.execution.started"
    FINISHED = "plugin.execution.finished"


register(
    EventType(Type.LOG, "A plugin says something: `message`, `level`."),
    EventType(Type.TRACE, "Where a plugin is: any fields."),
    EventType(Type.STEP, "A step begins or has ended: `name`, `status` (started, completed, failed), `step_id`, `parent_id`."),
    EventType(Type.VARIABLE, "The state of a variable: `name`, `value`."),
    EventType(Type.API_CALL, "A plugin called an API: `method`, `url`, `status`, `duration_ms`."),
    EventType(Type.COMPLETE, "The execution is complete: `result`.", terminal=True),
    EventType(Type.ERROR, "The execution failed: `error`; `unknown` where nobody can say what it did.", terminal=True),
    EventType(Type.STARTED, "User feed: an execution of yours began: `execution_id`, `plugin_id`, `tool_name`, `status`."),
    EventType(Type.FINISHED, "User feed: an execution of yours has ended: `execution_id`, `plugin_id`, `tool_name`, `status`."),
)

BY_FRAME = {
    "log": Type.LOG,
    "trace": Type.TRACE,
    "step": Type.STEP,
    "variable": Type.VARIABLE,
    "api_call": Type.API_CALL,
    "execution_complete": Type.COMPLETE,
    "execution_error": Type.ERROR,
}
"""Events by the `type` that clients know, on the socket and in the batch API."""

REQUIRED = {Type.LOG: "message", Type.STEP: "name", Type.VARIABLE: "name", Type.API_CALL: "url", Type.ERROR: "error"}
"""The field without which an event of a type says nothing."""
