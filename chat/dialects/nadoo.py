"""The frames of S4, the chat socket: JSON objects, each with its answer's `message_id` and its place `seq`.

Its documentation has two vocabularies, which contradict each other (`websockets.mdx` and `chat/streaming.mdx`): a client
chooses. Other than the dialects of SSE this one has state: `index` counts the pieces of text, and the last frame
tells the whole text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chat.run_events import Type
from chat.snapshot import Snapshot
from events.event import Event
from events.frames import Frame, timestamp


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the frames are called: that of a question, of an answer's beginning, of its text and its end.

    `conversation` is the field that names the conversation, `text` that of a piece of text; `tells_usage`: whether the
    tokens used have a frame of their own.
    """

    question: str
    conversation: str
    start: str
    delta: str
    text: str
    end: str
    tells_usage: bool = False


VOCABULARIES = {
    "nadoo": Vocabulary("chat", "chat_id", "response_start", "text-delta", "text", "response_end"),
    "streaming": Vocabulary("message", "conversation_id", "message_start", "text_chunk", "content", "done", tells_usage=True),
}
"""By the name a client chooses: as in `?dialect=`."""
DEFAULT = "nadoo"
WHOLE_CHARS = 150_000
"""How much of an answer its last frame repeats: as JSON in ASCII each may take six bytes."""


class NadooFrames:
    """The frames of one answer for one connection; events are given in their order.

    `about`: what the frame of its beginning tells beside the ids, such as who asked, and the client's `ref`.
    """

    def __init__(self, message_id: str, *, vocabulary: Vocabulary, about: Frame | None = None) -> None:
        self._message_id = message_id
        self._words = vocabulary
        self._about = about or {}
        self._forget()

    def _forget(self) -> None:
        self._snapshot = Snapshot()
        self._pieces = 0
        self._began: int | None = None

    def pass_over(self, events: Iterable[Event]) -> None:
        """Takes note of what the client has been told before."""
        for event in events:
            self._note(event)

    def frames(self, event: Event) -> list[Frame]:
        """The frames of one event; none for those a client of S4 does not know (bounds of blocks)."""
        self._note(event)
        return [self._dressed(frame, event) for frame in self._bare(event)]

    def _note(self, event: Event) -> None:
        if event.type == Type.STARTED:
            # The first of all events: what comes after it is the whole answer, also for one who has seen a part of it.
            self._forget()
            self._began = event.at
        self._snapshot.head = event.id.major
        self._snapshot.add(event.type, event.data)
        self._pieces += event.type == Type.TEXT_DELTA

    def _dressed(self, frame: Frame, event: Event) -> Frame:
        return frame | {"message_id": self._message_id, "seq": event.id.major, "timestamp": timestamp(event.at / 1000)}

    def _bare(self, event: Event) -> list[Frame]:
        words, data = self._words, event.data
        match event.type:
            case Type.STARTED:
                return [{"type": words.start, words.conversation: data["conversation_id"], **self._about}]
            case Type.TEXT_DELTA:
                return [{"type": words.delta, words.text: data["text"], "index": self._pieces - 1}]
            case Type.REASONING_DELTA:
                return [{"type": "agent_thinking", "content": data["text"]}]
            case Type.SOURCES:
                return [{"type": "sources", **data}]
            case Type.TOOL_CALL:
                return [{"type": "agent_tool_call", "tool_name": data["name"], **data}]
            case Type.TOOL_RESULT:
                return [_tool_result(data)]
            case "progress" | Type.APPROVAL_REQUESTED | Type.APPROVAL_DECIDED:
                return [{**data, "type": event.type.replace(".", "_")}]
            case Type.USAGE if words.tells_usage:
                return [_usage(data)]
        return self._ending(event)

    def _ending(self, event: Event) -> list[Frame]:
        match event.type:
            case Type.COMPLETED:
                return [{"type": self._words.end, **self._whole(event), "finish_reason": event.data["finish_reason"]}]
            case Type.CANCELLED:
                return [{"type": self._words.end, **self._whole(event), "cancelled": True}]
            case Type.FAILED:
                told = {name: event.data[name] for name in ("code", "message", "retryable")}
                return [{"type": "error", **told, **self._whole(event)}]
        return []

    def _whole(self, event: Event) -> Frame:
        began = event.at if self._began is None else self._began
        return {
            **_full("".join(self._snapshot.text)),
            "tokens_used": self._snapshot.usage.get("output_tokens", 0),
            "response_time": round(max(0, event.at - began) / 1000, 3),
        }


def _full(text: str) -> Frame:
    """The whole text, if a frame can hold it: many clients close a socket at a message above a mebibyte."""
    if len(text) <= WHOLE_CHARS:
        return {"full_response": text}
    return {"full_response": text[:WHOLE_CHARS], "full_response_truncated": True}


def _tool_result(data: dict[str, Any]) -> Frame:
    return {"type": "agent_tool_result", "tool_name": data["name"], "result": data.get("content", data.get("error")), **data}


def _usage(data: dict[str, Any]) -> Frame:
    given, made = data["input_tokens"], data["output_tokens"]
    return {"type": "token_usage", "prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
