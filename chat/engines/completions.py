"""Reads a chat completion out of response bytes, without I/O.

The format is the one of OpenAI's `/chat/completions` with `stream: true`, as the many
compatible servers really speak it: `data:` lines of JSON chunks, `[DONE]` at the end, reasoning
in `reasoning_content` or `reasoning`, and sometimes one plain JSON document instead.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

from chat.engines.base import EngineError, EnginePart, Finish, ReasoningDelta, TextDelta, ToolCall, Usage
from chat.engines.provider_errors import garbage, incomplete, stream_error
from chat.engines.sse_lines import ServerSentEvent, SSEError, SSEParser
from chat.engines.text import TextStitcher, clean_json, clean_text

# What providers call the end of an answer, in the four words of the contract.
_REASONS = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}
# With these the provider says that it did not get to an end.
_FAILED_REASONS = frozenset({"error", "insufficient_system_resource", "abort"})


class CompletionReader:
    """Feed it the body's bytes, take parts; `end` gives what is due when the body is over.

    Both are iterators that yield every part before the fault they then raise as `EngineError`.
    `limit` bounds a line, and a body that is one JSON document, in bytes.
    """

    def __init__(self, *, limit: int, secret: str = "") -> None:
        self.started = False
        """Whether anything but white space has come."""
        self.finish_reason: str | None = None
        """Why the answer ended, once the provider has said so."""
        self.done = False
        """Whether the provider has said that nothing more will come."""
        self._limit = limit
        self._secret = secret
        self._document: bytearray | None = None
        self._sse = SSEParser(limit=limit)
        self._events = 0
        self._texts = {"text": TextStitcher(), "reasoning": TextStitcher()}
        self._tools = _ToolCalls()
        self._usage: Usage | None = None

    def feed(self, chunk: bytes) -> Iterator[EnginePart]:
        """The parts that `chunk` brings."""
        if not self.started:
            head = chunk.lstrip()
            if not head:
                return
            self.started = True
            if head[:1] == b"{":
                self._document = bytearray()
        if self._document is not None:
            self._document += chunk
            if len(self._document) > self._limit:
                raise garbage(f"a document of more than {self._limit} bytes")
            return
        try:
            for event in self._sse.feed(chunk):
                yield from self._event(event)
        except SSEError as error:
            raise garbage(str(error)) from error

    def end(self, *, cut: bool = False) -> Iterator[EnginePart]:
        """The last parts: rest of the text, tool calls, usage, `Finish`.

        `cut` says that the connection broke. Raises `provider_incomplete` when the provider
        never gave a reason for the end.
        """
        if self._document is not None:
            yield from self._read_document(cut=cut)
        elif not self.done:
            yield from self._last_event()
        for kind in ("reasoning", "text"):
            yield from self._delta(kind, self._texts[kind].finish())
        if self.finish_reason is None:
            if self.started and not self._events and not cut:
                raise garbage("no event in it")
            raise incomplete()
        yield from self._tools.calls()
        if self._usage is not None:
            yield self._usage
        yield Finish(self.finish_reason)

    def _last_event(self) -> Iterator[EnginePart]:
        """An event that the end of the body left without its blank line; a torn one is no news."""
        for event in self._sse.finish():
            try:
                yield from self._event(event)
            except EngineError as error:
                if error.code != "provider_garbage":
                    raise

    def _read_document(self, *, cut: bool) -> Iterator[EnginePart]:
        """A provider that ignored `stream: true`: the whole answer as one JSON document."""
        try:
            document = json.loads(bytes(self._document or b""))
        except (ValueError, RecursionError) as error:
            raise (incomplete() if cut else garbage("broken JSON")) from error
        if "choices" not in document and "error" not in document:
            raise garbage("JSON without choices")
        self._events += 1
        yield from self._chunk(document)

    def _event(self, event: ServerSentEvent) -> Iterator[EnginePart]:
        if event.data.strip() == "[DONE]":
            self.done = True
            self._events += 1
            return
        try:
            payload = json.loads(event.data)
        except (ValueError, RecursionError) as error:
            raise garbage("an event that is not JSON") from error
        if not isinstance(payload, dict):
            raise garbage("an event that is not an object")
        self._events += 1
        if event.name == "error":
            raise stream_error(payload, secret=self._secret)
        yield from self._chunk(payload)

    def _chunk(self, payload: dict[str, Any]) -> Iterator[EnginePart]:
        if payload.get("error"):
            raise stream_error(payload, secret=self._secret)
        self._usage = _usage(payload.get("usage")) or self._usage
        choices = payload.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            yield from self._message(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            if reason in _FAILED_REASONS:
                raise stream_error({"error": f"finish_reason is {reason}"})
            self.finish_reason = _REASONS.get(reason, "stop")

    def _message(self, delta: dict[str, Any]) -> Iterator[EnginePart]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str):
            yield from self._delta("reasoning", self._texts["reasoning"].feed(reasoning))
        for kind, text in _contents(delta.get("content")):
            yield from self._delta(kind, self._texts[kind].feed(text))
        refusal = delta.get("refusal")
        if isinstance(refusal, str):
            yield from self._delta("text", self._texts["text"].feed(refusal))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            self._tools.feed(calls)

    @staticmethod
    def _delta(kind: str, text: str) -> Iterator[EnginePart]:
        if text:
            yield TextDelta(text) if kind == "text" else ReasoningDelta(text)


class _ToolCalls:
    """Tool calls come in pieces, each piece naming its call by `index`."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[Literal["id", "name", "arguments"], str]] = {}

    def feed(self, pieces: list[Any]) -> None:
        """Adds the pieces of one delta; anything that is no piece is left out."""
        for position, piece in enumerate(pieces):
            if not isinstance(piece, dict):
                continue
            index = piece.get("index")
            function = piece.get("function")
            call = self._calls.setdefault(index if isinstance(index, int) else position, {"id": "", "name": "", "arguments": ""})
            if isinstance(piece.get("id"), str):
                call["id"] = call["id"] or piece["id"]
            if isinstance(function, dict):
                # Some repeat the name in each piece instead of sending it once.
                name, arguments = function.get("name"), function.get("arguments")
                call["name"] = call["name"] or (name if isinstance(name, str) else "")
                # A few send the arguments decoded.
                call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""

    def calls(self) -> Iterator[ToolCall]:
        """The finished calls, in the order of their index."""
        for index, call in sorted(self._calls.items()):
            name = clean_text(call["name"])
            if not name:
                raise EngineError(
                    "provider_bad_tool_call", "The model asked for a tool without a name. Try again.", retryable=True
                )
            arguments, fault = _arguments(call["arguments"])
            yield ToolCall(clean_text(call["id"]) or f"call_{index}", name, arguments, fault)


def _arguments(written: str) -> tuple[dict[str, Any], str]:
    """The arguments that a model wrote, or what is wrong with them: the model can do better when it is told."""
    try:
        arguments = json.loads(written or "{}")
    except (ValueError, RecursionError) as error:
        return {}, f"The arguments are not JSON: {error}."
    if not isinstance(arguments, dict):
        return {}, "The arguments must be a JSON object."
    try:
        return clean_json(arguments), ""
    except RecursionError:
        return {}, "The arguments are nested too deeply."


def _contents(content: object) -> Iterator[tuple[Literal["text", "reasoning"], str]]:
    """The texts of a `content`: a string, or a list of typed parts (as Mistral sends them)."""
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, dict):
                continue
            if isinstance(part.get("text"), str):
                yield "text", part["text"]
            elif part.get("type") == "thinking":
                for _, text in _contents(part.get("thinking")):
                    yield "reasoning", text


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    if not any(isinstance(count, int) for count in counts):
        return None
    given, made = (max(0, count) if isinstance(count, int) else 0 for count in counts)
    return Usage(input_tokens=given, output_tokens=made)
