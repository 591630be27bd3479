"""An engine that does as it is told, for tests and benchmarks.

The script is a list of steps: the request's option `script`, or what follows `!script ` in the
question, as JSON. Without one the question's words come back. It is checked whole before its first
step is taken; a mistake is `bad_script` and says where. Each step is an object:

    {"text": "some text"}                 text
    {"reasoning": "some text"}            reasoning
    {"sources": [{"title": .., "text": ..}]}
    {"tool_call": {"name": .., "arguments": {..}, "call_id": ..}}   call_id may be left out
    {"results": true}                     waits for the tools: what follows is played when they have answered
    {"result": 1}                         as text, what the first call (2: the second) of that wait came to
    {"usage": {"input_tokens": 1, "output_tokens": 2}}
    {"pause": 0.5}                        seconds without a word
    {"tokens": 200, "per_second": 50}     the words `w0 w1 ..`, each due at its own time; without a rate at once
    {"size": 100000}                      so many bytes of text
    {"fail": {"code": .., "message": .., "retryable": true}}        an `EngineError`
    {"crash": true}                       an error that no engine should raise
    {"hang": true}                        never goes on
    {"finish": "length"}                  ends, for that reason
    {"no_finish": true}                   ends without saying so

fail, crash, hang, finish and no_finish end a script; one that ends with none of them ends with
the reason stop. A script without `results` plays nothing after its tools have answered.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from chat.engines.base import (
    BaseEngine,
    EngineError,
    EnginePart,
    EngineRequest,
    Finish,
    ReasoningDelta,
    Sources,
    TextDelta,
    ToolCall,
    Usage,
)
from chat.engines.text import TextStitcher, clean_json, clean_text, excerpt

PREFIX = "!script "
MAX_STEPS = 10_000
MAX_AMOUNT = 100_000_000
MAX_SECONDS = 86_400
PIECE = 1024
# How many parts may come at once before others get their turn.
BURST = 64
LAST_STEPS = frozenset({"fail", "crash", "hang", "finish", "no_finish"})

Step = dict[str, Any]


class ScriptedEngine(BaseEngine):
    """Plays a script; takes no OPTIONS."""

    takes_tools = True

    async def stream(self, request: EngineRequest) -> AsyncGenerator[EnginePart, None]:
        """The parts that the script asks for; raises `bad_script` before the first."""
        script = _part(script_of(request), len(request.rounds))
        texts = _Texts(request.rounds[-1].results if request.rounds else ())
        sent = 0
        for step in script:
            kind = _kind(step)
            if kind in LAST_STEPS:
                for part in texts.rest():
                    yield part
            async for part in _ACTIONS[kind](step, texts):
                yield part
                sent += 1
                if sent % BURST == 0:
                    await asyncio.sleep(0)


def script_of(request: EngineRequest) -> list[Step]:
    """The script of a request, checked; raises `EngineError` (bad_script)."""
    script = request.options.get("script")
    if script is None:
        if not request.question.startswith(PREFIX):
            return [{"text": word} for word in _words(request.question)]
        try:
            script = json.loads(request.question.removeprefix(PREFIX))
        except (ValueError, RecursionError) as error:
            raise _bad(f"The script is not JSON: {error}.") from error
    if not isinstance(script, list) or len(script) > MAX_STEPS:
        raise _bad(f"The script must be a list of at most {MAX_STEPS} steps.")
    for number, step in enumerate(script, 1):
        problem = _problem(step)
        if not problem and number < len(script) and _kind(step) in LAST_STEPS:
            problem = f"nothing may follow {_kind(step)!r}"
        if problem:
            raise _bad(f"Step {number} of the script: {problem}.")
    return script


def _part(script: list[Step], number: int) -> list[Step]:
    """What is played after so many waits for tools."""
    parts: list[list[Step]] = [[]]
    for step in script:
        if _kind(step) == "results":
            parts[-1].append({"finish": "tool_calls"})
            parts.append([])
        else:
            parts[-1].append(step)
    part = parts[number] if number < len(parts) else []
    return part if part and _kind(part[-1]) in LAST_STEPS else [*part, {"finish": "stop"}]


class _Texts:
    """What is held back of text and of reasoning, and what the tools have said."""

    def __init__(self, results: tuple[str, ...]) -> None:
        self.results = results
        self.text = TextStitcher()
        self.reasoning = TextStitcher()

    def rest(self) -> Iterator[EnginePart]:
        """The halves that never found their other half."""
        if rest := self.reasoning.finish():
            yield ReasoningDelta(rest)
        if rest := self.text.finish():
            yield TextDelta(rest)


def _words(text: str) -> list[str]:
    """The words of `text`, each but the first with the space before it."""
    return [word if not number else f" {word}" for number, word in enumerate(text.split())]


# What each step must look like. A check gives what is wrong, or None.


def _problem(step: object) -> str | None:
    if not isinstance(step, dict):
        return "it must be an object"
    kinds = [name for name in step if name in _CHECKS]
    if len(kinds) != 1:
        return f"it must have exactly one of {', '.join(_CHECKS)}"
    kind = kinds[0]
    extra = set(step) - {kind} - ({"per_second"} if kind == "tokens" else set())
    if extra:
        return f"unknown {excerpt(', '.join(map(str, sorted(extra))), 80)!r} beside {kind!r}"
    rate = step.get("per_second", 0)
    if not _number(rate, MAX_AMOUNT):
        return "per_second must be a number from 0"
    return None if _CHECKS[kind](step[kind]) else f"{kind!r} must be {_EXPECTED[kind]}"


def _kind(step: Step) -> str:
    return next(name for name in step if name in _CHECKS)


def _number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _count(value: object) -> bool:
    return isinstance(value, int) and _number(value, MAX_AMOUNT)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_true(value: object) -> bool:
    return value is True


def _is_sources(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_tool_call(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("name"))
        and isinstance(value.get("arguments", {}), dict)
        and _is_text(value.get("call_id", ""))
    )


def _is_usage(value: object) -> bool:
    return isinstance(value, dict) and _count(value.get("input_tokens")) and _count(value.get("output_tokens"))


def _is_failure(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("code", ""))
        and _is_text(value.get("message", ""))
        and isinstance(value.get("retryable", False), bool)
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "reasoning": _is_text,
    "sources": _is_sources,
    "tool_call": _is_tool_call,
    "results": _is_true,
    "result": lambda value: _count(value) and value > 0,
    "usage": _is_usage,
    "pause": lambda value: _number(value, MAX_SECONDS),
    "tokens": _count,
    "size": _count,
    "fail": _is_failure,
    "crash": _is_true,
    "hang": _is_true,
    "finish": _is_text,
    "no_finish": _is_true,
}
_EXPECTED = {
    "text": "a string",
    "reasoning": "a string",
    "sources": "a list of objects",
    "tool_call": "an object with name (a string) and arguments (an object)",
    "results": "true",
    "result": "the number of a call, from 1",
    "usage": "an object with the whole numbers input_tokens and output_tokens",
    "pause": f"a number of seconds from 0 to {MAX_SECONDS}",
    "tokens": f"a whole number from 0 to {MAX_AMOUNT}",
    "size": f"a whole number from 0 to {MAX_AMOUNT}",
    "fail": "an object with code and message (strings) and retryable (true or false)",
    "crash": "true",
    "hang": "true",
    "finish": "a string",
    "no_finish": "true",
}


# What each step does.


async def _text(step: Step, texts: _Texts) -> AsyncIterator[EnginePart]:
    if clean := texts.text.feed(step["text"]):
        yield TextDelta(clean)


async def _reasoning(step: Step, texts: _Texts) -> AsyncIterator[EnginePart]:
    if clean := texts.reasoning.feed(step["reasoning"]):
        yield ReasoningDelta(clean)


async def _sources(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    yield Sources(tuple(clean_json(step["sources"])))


async def _tool_call(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    call = clean_json(step["tool_call"])
    yield ToolCall(call_id=call.get("call_id") or "call_1", name=call["name"], arguments=call.get("arguments", {}))


async def _result(step: Step, texts: _Texts) -> AsyncIterator[EnginePart]:
    for result in texts.results[step["result"] - 1 : step["result"]]:
        yield TextDelta(clean_text(result))


async def _usage(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    yield Usage(input_tokens=step["usage"]["input_tokens"], output_tokens=step["usage"]["output_tokens"])


async def _pause(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    await asyncio.sleep(step["pause"])
    return
    yield


async def _tokens(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    """Words at a rate. Each is due at its own time from the start, so delays do not add up."""
    clock = asyncio.get_running_loop().time
    rate = step.get("per_second", 0)
    start = clock()
    for number in range(step["tokens"]):
        if rate and (delay := start + number / rate - clock()) > 0:
            await asyncio.sleep(delay)
        yield TextDelta(f"w{number} ")


async def _size(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    whole, rest = divmod(step["size"], PIECE)
    line = ("0123456789abcdef" * (PIECE // 16))[: PIECE - 1] + "\n"
    for _number in range(whole):
        yield TextDelta(line)
    if rest:
        yield TextDelta(line[:rest])


async def _fail(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    told = step["fail"]
    code, message = clean_text(told.get("code") or "scripted_failure"), clean_text(told.get("message") or "The script says so.")
    raise EngineError(code, message, retryable=told.get("retryable", False))
    yield


async def _crash(_step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    raise RuntimeError("the script crashes")
    yield


async def _hang(_step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    await asyncio.get_running_loop().create_future()
    yield Finish("stop")


async def _finish(step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    yield Finish(clean_text(step["finish"]))


async def _no_finish(_step: Step, _: _Texts) -> AsyncIterator[EnginePart]:
    return
    yield


_ACTIONS: dict[str, Callable[[Step, _Texts], AsyncIterator[EnginePart]]] = {
    "text": _text,
    "reasoning": _reasoning,
    "sources": _sources,
    "tool_call": _tool_call,
    "result": _result,
    "usage": _usage,
    "pause": _pause,
    "tokens": _tokens,
    "size": _size,
    "fail": _fail,
    "crash": _crash,
    "hang": _hang,
    "finish": _finish,
    "no_finish": _no_finish,
}


def _bad(message: str) -> EngineError:
    return EngineError("bad_script", message, retryable=False)
