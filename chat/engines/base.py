"""What an engine is: a question in, parts of an answer out."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message of the conversation: who said it, and what."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool that an engine may ask for: `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the engine wants called: `arguments` is an object.

    `fault` says what is wrong with the arguments that the model wrote; they are then empty.
    """

    call_id: str
    name: str
    arguments: dict[str, Any]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ToolRound:
    """What the engine wrote before it asked for tools, the calls, and each call's result as text, in their order."""

    text: str
    calls: tuple[ToolCall, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine is asked.

    `history` holds the earlier turns, oldest first, without `question`; `attachments` are
    texts the user attached, as (name, text); `options` are the request's other fields
    (temperature, max_tokens, seed, and what the scripted engine is to do). `grounded`: the
    answer may rest on the attachments only, also when there are none. `tools` may be asked for;
    `rounds` are what this same answer has asked of them so far.
    """

    question: str
    history: tuple[Turn, ...] = ()
    system_prompt: str = ""
    attachments: tuple[tuple[str, str], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    grounded: bool = False
    tools: tuple[ToolOffer, ...] = ()
    rounds: tuple[ToolRound, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the engine's reasoning, shown apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What the answer rests on: objects with at least `title` and `text`."""

    sources: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used, as the engine counts them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The engine says it is done, and why: stop, length, tool_calls or content_filter."""

    reason: str


EnginePart = TextDelta | ReasoningDelta | Sources | ToolCall | Usage | Finish


class EngineError(Exception):
    """A failure with a `code` for programs, a `message` for people, and whether trying again may help."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class BaseEngine:
    """Answers questions. Made once per process with the OPTIONS of its entry in CHAT_ENGINES.

    `stream` yields parts and ends after exactly one `Finish`; a stream that ends without one
    is a failed answer. Closing the iterator (cancelling its task) stops the engine within a
    second and closes its upstream connection.

    One that yields `ToolCall`s is asked again, with their results in `rounds`.
    """

    takes_tools = False
    """Whether it can ask for tools; one that cannot is offered none."""

    edits = False
    """Whether it can be asked for changes of documents, as JSON; where it cannot, rules propose them."""

    def stream(self, request: EngineRequest) -> AsyncGenerator[EnginePart, None]:
        """The parts of one answer, as they come; raises `EngineError`.

        Use it within `contextlib.aclosing`: a task cancelled while it handles a part, and not
        while it waits for one, would otherwise leave the engine running until the collector
        comes by.
        """
        raise NotImplementedError

    def check(self) -> str | None:
        """Why this engine cannot answer here (a sentence that says what to do), or None."""
        return None

    async def close(self) -> None:
        """Lets go of connections and memory; called once when the process ends."""
