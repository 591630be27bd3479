"""The canonical events of a run: stored once, rendered by every dialect."""

from enum import StrEnum

from events.event import EventType, register


class Type(StrEnum):
    """Names of the canonical events."""

    STARTED = "run.started"
    SOURCES = "sources"
    TEXT_START = "text.start"
    TEXT_DELTA = "text.delta"
    TEXT_END = "text.end"
    REASONING_START = "reasoning.start"
    REASONING_DELTA = "reasoning.delta"
    REASONING_END = "reasoning.end"
    TOOL_CALL = "tool.call"
    TOOL_RESULT = "tool.result"
    USAGE = "usage"
    COMPLETED = "run.completed"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"
    MESSAGE_STARTED = "message.started"
    MESSAGE_FINISHED = "message.finished"
    SESSION_LEFT = "session.left"


register(
    EventType(Type.STARTED, "The answer was accepted: `message_id`, `conversation_id`."),
    EventType(Type.SOURCES, "What the answer rests on: `sources`, a list of objects."),
    EventType(Type.TEXT_START, "A block of text begins: `block`, its number."),
    EventType(Type.TEXT_DELTA, "Text of a block: `block`, `text`.", joined="text"),
    EventType(Type.TEXT_END, "A block of text is complete: `block`."),
    EventType(Type.REASONING_START, "A block of reasoning begins: `block`."),
    EventType(Type.REASONING_DELTA, "Reasoning of a block: `block`, `text`.", joined="text"),
    EventType(Type.REASONING_END, "A block of reasoning is complete: `block`."),
    EventType(
        Type.TOOL_CALL, "The engine wants a tool called: `call_id`, `name`, `arguments` (`truncated`: only their beginning)."
    ),
    EventType(
        Type.TOOL_RESULT,
        "What came of a call: `call_id`, `name`, `status` (completed, error, denied, expired), `content` (`truncated`: only its "
        "beginning) or `error`, `execution_id`.",
    ),
    EventType(Type.USAGE, "Tokens used by the answer so far: `input_tokens`, `output_tokens`."),
    EventType(Type.COMPLETED, "The answer is complete: `conversation_id`, `finish_reason`.", terminal=True),
    EventType(
        Type.FAILED,
        "The answer ended early: `conversation_id`, `code`, `message`, `retryable`. The text so far is kept.",
        terminal=True,
    ),
    EventType(Type.CANCELLED, "The answer was stopped: `conversation_id`. The text so far is kept.", terminal=True),
    EventType(
        Type.MESSAGE_STARTED, "User feed: an answer was accepted: `message_id`, `conversation_id`, `status`, `session_id`."
    ),
    EventType(Type.MESSAGE_FINISHED, "User feed: an answer has ended: `message_id`, `conversation_id`, `status`, `session_id`."),
    EventType(Type.SESSION_LEFT, "User feed: you take part in a session no more: `session_id`."),
)
