"""How the engine tests collect what an engine gives."""

import asyncio
from contextlib import aclosing

from chat.engines.base import BaseEngine, EngineError, EnginePart, EngineRequest, ReasoningDelta, TextDelta
from tests.patience import patiently


async def parts_of(engine: BaseEngine, question: str = "one two three", **fields) -> list[EnginePart]:
    """All parts of an answer."""
    async with aclosing(engine.stream(EngineRequest(question, **fields))) as parts:
        return [part async for part in parts]


async def failure_of(engine: BaseEngine, question: str = "one two three", **fields) -> tuple[list[EnginePart], EngineError]:
    """The parts that came before the error that ended the answer, and the error."""
    seen: list[EnginePart] = []
    async with aclosing(engine.stream(EngineRequest(question, **fields))) as parts:
        try:
            async for part in parts:
                seen.append(part)  # noqa: PERF401 - kept when the iteration fails
        except EngineError as error:
            return seen, error
    raise AssertionError(f"no error, but {seen}")


def text_of(parts: list[EnginePart]) -> str:
    """The text of an answer, joined."""
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def reasoning_of(parts: list[EnginePart]) -> str:
    """The reasoning of an answer, joined."""
    return "".join(part.text for part in parts if isinstance(part, ReasoningDelta))


async def first_text_then_cancel(engine: BaseEngine, question: str = "one two three", **fields) -> None:
    """Cancels the task that reads an answer when its first text has come."""
    came = asyncio.Event()

    async def read() -> None:
        async with aclosing(engine.stream(EngineRequest(question, **fields))) as parts:
            async for part in parts:
                if isinstance(part, TextDelta):
                    came.set()

    task = asyncio.create_task(read())
    async with asyncio.timeout(patiently(60)):
        await came.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
