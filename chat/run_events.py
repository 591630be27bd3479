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
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    PROGRESS = "progress"
    CHANGE_PROPOSED = "change.proposed"
    JOB_RESULT = "job.result"
    USAGE = "usage"
    COMPLETED = "run.completed"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"
    MESSAGE_STARTED = "message.started"
    MESSAGE_FINISHED = "message.finished"
    APPROVAL_REQUIRED = "tool.approval.required"
    APPROVAL_CLEARED = "tool.approval.cleared"
    SESSION_LEFT = "session.left"
    MESSAGE_POSTED = "message.posted"
    ROOM_CHANGED = "room.changed"
    ROOM_READ = "room.read"


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
        Type.TOOL_CALL,
        "The engine wants a tool called: `call_id`, `name`, `arguments` (with `arguments_truncated`: their JSON's beginning).",
    ),
    EventType(
        Type.TOOL_RESULT,
        "What came of a call: `call_id`, `name`, `status` (completed, error, denied, expired), `content` (with "
        "`content_truncated`: the beginning of its JSON) or `error`, `execution_id`.",
    ),
    EventType(
        Type.APPROVAL_REQUESTED,
        "The run waits until humans have decided: `batch_id`, `kind`, `expires_at`, and `approvals`, each with "
        "`approval_id`, `subject` (a tool call's `call_id`), `title`, `reason`, `payload` (unless it is too long), "
        "`payload_sha256`, `editable`.",
    ),
    EventType(
        Type.APPROVAL_DECIDED,
        "One approval was decided, or expired: `approval_id`, `batch_id`, `kind`, `subject`, `title`, `status`, `decided_by`, "
        "`feedback`, `edited`.",
    ),
    EventType(Type.PROGRESS, "What is being done, for people: `text`."),
    EventType(
        Type.CHANGE_PROPOSED,
        "One change of a document is proposed: `approval_id`, `change_id`, `operation`, `batch_id`, `batch_total`; its "
        "approval has the HTML.",
    ),
    EventType(
        Type.JOB_RESULT,
        "What a job came to: `response`, `session_id`, `version_id` (of the document, which has the HTML), `changes_summary`, "
        "`usage`.",
    ),
    EventType(Type.USAGE, "Tokens used by the answer so far: `input_tokens`, `output_tokens`."),
    EventType(
        Type.COMPLETED,
        "The answer is complete: `conversation_id`, `finish_reason`, and of a job `usage`, the account's month.",
        terminal=True,
    ),
    EventType(
        Type.FAILED,
        "The answer ended early: `conversation_id`, `code`, `message`, `retryable`. The text so far is kept.",
        terminal=True,
    ),
    EventType(Type.CANCELLED, "The answer was stopped: `conversation_id`. The text so far is kept.", terminal=True),
    EventType(
        Type.MESSAGE_STARTED,
        "User feed: an answer was accepted: `message_id`, `conversation_id`, `status`, and perhaps `session_id`, `room_id`.",
    ),
    EventType(Type.MESSAGE_FINISHED, "User feed: an answer has ended: the same."),
    EventType(Type.SESSION_LEFT, "User feed: you take part in a session, or room, no more: `session_id`, `room_id`."),
    EventType(
        Type.MESSAGE_POSTED,
        "User feed: somebody wrote in a room: `message_id`, `conversation_id`, `session_id`, `room_id` (all one), `user_id`.",
    ),
    EventType(
        Type.ROOM_CHANGED,
        "User feed: a room was made, renamed or deleted, or others take part: `room_id`, `title`, `change` (created, renamed, "
        "deleted, participants), `by`.",
    ),
    EventType(Type.ROOM_READ, "User feed: you have read in a room, here or elsewhere: `room_id`, `unread`."),
    EventType(
        Type.APPROVAL_REQUIRED,
        "User feed: a run waits for a decision of yours: `message_id`, `conversation_id`, `batch_id`, `kind`, `total`, "
        "`expires_at`, `pending_tool_calls` (`approval_id`, `call_id`, `name`), `reminder`; never what would be done.",
    ),
    EventType(
        Type.APPROVAL_CLEARED,
        "User feed: nothing of a batch is open any more: `message_id`, `conversation_id`, `batch_id`, `kind`, `reason`, "
        "`approvals` (`approval_id`, `call_id`, `status`, `decided_by`).",
    ),
)
