"""The frames of every socket and event stream, as docs/reference/sockets.md and events.md explain them.

A test holds these names against the tables of those pages.
"""

import re
from dataclasses import dataclass
from typing import Any

KINDS = ("string", "integer", "number", "boolean", "array", "object", "any")
_FIELD = re.compile(r"(?P<name>\w+)(?P<optional>\?)?(?::(?P<kind>\w+))?")


@dataclass(frozen=True)
class Frame:
    """One kind of frame. `fields`: names with spaces between, each with a kind of KINDS behind a colon (else a string),
    and with `?` where it may be missing. `tag`: where the name of the frame is; in events with a name of their own, "event".
    """

    name: str
    fields: str = ""
    meaning: str = ""
    tag: str = "type"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its object; more fields may come."""
        properties: dict[str, Any] = {"type": {"const": self.name}} if self.tag == "type" else {}
        required = list(properties)
        for match in _FIELD.finditer(self.fields):
            kind = match["kind"] or "string"
            properties[match["name"]] = {} if kind == "any" else {"type": kind}
            required += [] if match["optional"] else [match["name"]]
        return {"type": "object", "properties": properties, "required": required}


@dataclass(frozen=True)
class Conversation:
    """What is said over one address: by the client and by the server. `page` and `heading`: where that is explained."""

    address: str
    title: str
    page: str
    heading: str
    server: tuple[Frame, ...]
    client: tuple[Frame, ...] = ()
    query: tuple[str, ...] = ()

    @property
    def is_socket(self) -> bool:
        """Else it is an event stream."""
        return self.page == "sockets.md"


TRUNCATED = Frame("backlog.truncated", "reason oldest_retained_id?:any id?", "Events are missing before the next frame.")

EVERY_SOCKET = Conversation(
    address="",
    title="What every socket says",
    page="sockets.md",
    heading="Frames",
    client=(
        Frame("ping", "ref?:any", "Are you there?"),
        Frame("auth", "token ref?:any", "Credentials as the first frame, or newer ones."),
    ),
    server=(
        Frame("connected", "user_id?:any timestamp?", "The first frame."),
        Frame("pong", "timestamp ref?:any", "The answer to `ping`."),
        Frame("authenticated", "expires_at?:any ref?:any", "The answer to `auth`."),
        Frame("token_expiring", "expires_at", "Send newer credentials in time."),
        Frame("error", "code message ref?:any retry_after?:number", "A frame was not understood, or not allowed."),
    ),
)

_ANSWERS = (
    Frame("response_start", "message_id seq:integer chat_id ref?:any id?:any application_id?", "An answer begins."),
    Frame("text-delta", "message_id seq:integer text index:integer", "A piece of text."),
    Frame("sources", "message_id seq:integer sources:array missing?:array", "What the answer rests on."),
    Frame("agent_thinking", "message_id seq:integer content", "A piece of reasoning."),
    Frame("agent_tool_call", "message_id seq:integer tool_name arguments?:any", "A tool is called."),
    Frame("agent_tool_result", "message_id seq:integer tool_name result?:any", "What came of it."),
    Frame("approval_requested", "message_id seq:integer batch_id approvals:array", "The answer waits for decisions."),
    Frame("approval_decided", "message_id seq:integer approval_id status", "One was made."),
    Frame(
        "response_end",
        "message_id seq:integer full_response tokens_used?:any response_time?:any finish_reason?:any cancelled?:boolean",
        "The answer is over.",
    ),
)
_ANSWERS_IN_STREAMING = (
    Frame("message_start", "message_id seq:integer conversation_id", "An answer begins, in the vocabulary `streaming`."),
    Frame("text_chunk", "message_id seq:integer content index:integer", "A piece of text."),
    Frame("token_usage", "message_id prompt_tokens:integer completion_tokens:integer total_tokens:integer", "Tokens used."),
    Frame("done", "message_id seq:integer full_response", "The answer is over."),
    Frame("message", "content user_id:any question_id conversation_id", "A question of somebody else."),
)

CHAT = Conversation(
    address="/ws/chat/{session_id}",
    title="Chat",
    page="sockets.md",
    heading="Chat",
    query=("dialect", "answers"),
    client=(
        Frame("chat", "content chat_id?:any application_id? id? ref?:any", "A question."),
        Frame("message", "content conversation_id?:any application_id? id? ref?:any", "The same."),
        Frame("cancel", "message_id?", "Ends an answer."),
        Frame("resume", "message_id since?:integer", "The rest of an answer."),
        Frame("typing", "chat_id?:any", "You are typing."),
        Frame("typing_stopped", "", "You are not."),
    ),
    server=(
        *_ANSWERS,
        *_ANSWERS_IN_STREAMING,
        Frame("chat", "content user_id:any question_id chat_id", "A question of somebody else, or of yours from elsewhere."),
        Frame("accepted", "chat_id question_id ref?:any", "In a room: your message was kept, and nobody answers it."),
        Frame("typing", "user_id username expires_in:number chat_id?:any", "Somebody is typing. At most once."),
        Frame("typing_stopped", "user_id", "He is not. At most once."),
        Frame("user_disconnected", "user_id", "The last connection of a user is gone. At most once."),
    ),
)
NOTIFICATIONS = Conversation(
    address="/ws/notifications/{user_id}",
    title="Notifications",
    page="sockets.md",
    heading="Notifications",
    query=("since",),
    server=(Frame("notification", "notification:object timestamp id notification_id priority", "A notification."), TRUNCATED),
)
TOPICS = Conversation(
    address="/ws/events",
    title="Topics",
    page="sockets.md",
    heading="Topics",
    client=(
        Frame("subscribe", "topics?:array topic? since? ref?:any", "Events that match these patterns."),
        Frame("unsubscribe", "topics:array ref?:any", "No more of these."),
    ),
    server=(
        Frame("subscribed", "topics:array cursor recovered:boolean ref?:any", "They are in force."),
        Frame("unsubscribed", "topics:array ref?:any", "Nothing of them follows."),
        Frame("event", "topic id event:object", "Something happened."),
        Frame("cursor", "cursor", "Your new place, after many events that you did not ask for."),
        Frame("not_streamed", "topic message_id message", "More answers run than one connection is told token by token."),
        TRUNCATED,
    ),
)
WORKSPACES = Conversation(
    address="/ws/workspaces/{workspace_id}",
    title="Workspaces",
    page="sockets.md",
    heading="Workspaces",
    query=("since", "client"),
    client=(
        Frame("document_updated", "ref?:any", "Told to all other connections of members."),
        Frame("application_changed", "ref?:any", "The same."),
        Frame("member_added", "ref?:any", "The same."),
        Frame("workspace_state", "", "Who is here?"),
    ),
    server=(
        Frame("workspace_state", "members:array count:integer cursor?", "Who is here."),
        Frame("user_joined", "user_id username", "The first connection of a user."),
        Frame("user_left", "user_id", "The last one is over."),
        Frame(
            "document_updated", "id workspace_id timestamp user_id:any origin", "A shared source, or what a member says of one."
        ),
        Frame("application_changed", "id workspace_id timestamp user_id:any origin", "An application."),
        Frame("member_added", "id workspace_id timestamp user_id:any origin", "There is a new member."),
        Frame("member_removed", "id workspace_id timestamp user_id:any origin member_id member_name", "There is one less."),
        Frame("accepted", "ref:any id", "Your broadcast is in the log, in this place."),
        TRUNCATED,
    ),
)
_SEEN = "seq:integer timestamp data:object"
PLUGIN_DEBUG = Conversation(
    address="/api/v1/ws/plugin/debug/{execution_id}",
    title="Plugin debugging",
    page="sockets.md",
    heading="Plugin debugging",
    query=("since",),
    server=(
        Frame("execution_info", "data:object", "The first frame."),
        Frame("debug_data", _SEEN, "What was recorded before."),
        Frame("log", _SEEN, "A plugin says something."),
        Frame("trace", _SEEN, "Where it is."),
        Frame("step", _SEEN, "A step begins or has ended."),
        Frame("variable", _SEEN, "The state of a variable."),
        Frame("api_call", _SEEN, "It called an API."),
        Frame("execution_complete", _SEEN, "It is complete."),
        Frame("execution_error", _SEEN, "It failed."),
        TRUNCATED,
    ),
)

SOCKETS = (CHAT, NOTIFICATIONS, WORKSPACES, PLUGIN_DEBUG, TOPICS)
"""Every socket of `realtime_project.routing`."""

ANSWER = Conversation(
    address="/api/messages/{message_id}/events",
    title="An answer, also as the response to POST /stream",
    page="events.md",
    heading="Frames of an answer",
    server=(
        Frame("message_id", "message_id conversation_id", "The first frame."),
        Frame("answer", "answer", "A piece of text."),
        Frame("thought", "thought", "A piece of reasoning."),
        Frame("source", "source:array", "What the answer rests on."),
        Frame("tool_call", "data:object", "A call of a tool, and what came of it."),
        Frame("tool_calls_pending", "data:object", "It waits for decisions."),
        Frame("id", "id", "The conversation."),
        Frame("end", "cancelled?:boolean", "The last frame."),
        Frame("error", "error code retryable:boolean", "The last frame."),
    ),
)
RAG = Conversation(
    address="/api/v1/chat/stream/{message_id}",
    title="An answer of the RAG chat, also as the response to POST /api/v1/chat/stream",
    page="events.md",
    heading="Frames of the RAG chat",
    server=(
        Frame("sources", "sources:array missing?:array", "What the answer may rest on.", tag="event"),
        Frame("text", "content", "A piece of text.", tag="event"),
        Frame("done", "completed:boolean", "The last frame.", tag="event"),
        Frame("error", "code message", "The last frame.", tag="event"),
    ),
)
JOB = Conversation(
    address="/v1/chat/{session_id}/stream",
    title="A job",
    page="events.md",
    heading="Frames of a job",
    query=("job_id", "last_sequence"),
    server=(
        Frame("intermediate", "sequence:integer timestamp content", "What is being done."),
        Frame("proposed_change", "sequence:integer timestamp content", "A change of the document, as a string of JSON."),
        Frame("final", "sequence:integer timestamp content result:object", "What it came to."),
        Frame("usage", "sequence:integer timestamp", "What it counted for; the last frame."),
        Frame("error", "error code retryable:boolean", "The last frame."),
    ),
)
STREAMS = (ANSWER, RAG, JOB)
"""Event streams whose frames are not the events themselves."""
