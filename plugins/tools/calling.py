"""Calling a tool for a run: checked, done at most once, recorded as an execution."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError

from accounts.caller import Caller
from accounts.threads import in_thread
from events.event import to_json
from events.exceptions import ThroughlineError, Unavailable
from plugins.conf import conf
from plugins.recorder import Recorder
from plugins.tools import claims
from plugins.tools.arguments import problem_of
from plugins.tools.claims import Call, Claim, Permit, Place, Status
from plugins.tools.registry import Context, ToolError, tools

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

POLL_SECONDS = 0.3
RETRY_SECONDS = 0.5
STOPPED = "This was stopped."
FAILED = "{} failed unexpectedly; the reason is in the server's log."
MAYBE_DONE = "It may or may not have happened. Check before you do it again."
STOPPED_UNKNOWN = f"This was stopped while it was being done. {MAYBE_DONE}"
UNREACHABLE = (OperationalError, InterfaceError, OSError, Unavailable)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call: `content`, a JSON value, or `error`, words for the language model."""

    ok: bool
    content: Any
    error: str
    execution_id: str


async def call(
    *,
    name: str,
    arguments: dict[str, Any],
    caller: Caller,
    run_id: str,
    call_id: str,
    idempotency_key: str,
    permit: Permit | None = None,
) -> ToolResult:
    """Has a tool do something for `caller`. A failing tool is a result, not an exception.

    With an `idempotency_key` that was used before nothing is done again: the result of then is given. A call that was cut
    off by the end of its process is repeated if it may be; else its outcome is unknown, and the error says so. While the
    database is away this waits. The key is the caller's own: at most 255 characters, empty for a call without one.
    `permit` is asked in the transaction that begins the call; what it raises is raised here, and nothing is done.
    """
    known = tools()
    tool = known.get(name)
    if tool is None:
        return ToolResult(False, None, f"There is no tool called {name[:100]!r}. There are: {', '.join(known) or 'none'}.", "")
    wanted = Call(tool, arguments, caller, run_id, call_id, idempotency_key, permit)
    holder = uuid.uuid4()
    claimed = await _claimed(wanted, holder)
    if claimed.place is Place.OURS:
        claimed = await _made(wanted, claimed.execution_id, holder)
    return _result(claimed)


async def _claimed(wanted: Call, holder: uuid.UUID) -> Claim:
    """The call as ours, or as it ended elsewhere."""
    while True:
        claimed = await _reaching(claims.claim, call=wanted, holder=holder)
        if claimed.place is not Place.ELSEWHERE:
            return claimed
        await asyncio.sleep(POLL_SECONDS)


def _result(claimed: Claim) -> ToolResult:
    if claimed.place is Place.OTHER:
        return ToolResult(False, None, claims.OTHER_CALL, "")
    execution_id = str(claimed.execution_id)
    if claimed.status == Status.COMPLETED:
        return ToolResult(True, claimed.content, "", execution_id)
    return ToolResult(False, None, claimed.error or "It failed.", execution_id)


async def _made(wanted: Call, execution_id: uuid.UUID, holder: uuid.UUID) -> Claim:
    """Makes the call that is ours, and writes what came of it, also when this is cancelled."""
    recorder = Recorder(execution_id, holder=holder)
    keeping = asyncio.create_task(_keep(execution_id, holder), name=f"lease of call {execution_id}")
    try:
        try:
            outcome = await _outcome(wanted, recorder)
        except asyncio.CancelledError:
            may_repeat = wanted.tool.may_repeat(wanted.arguments)
            stopped = {"error": STOPPED} if may_repeat else {"error": STOPPED_UNKNOWN, "unknown": True}
            # Its own task: a second cancellation must not leave it open.
            await asyncio.shield(_settled(execution_id, holder, recorder, stopped))
            raise
        return await _settled(execution_id, holder, recorder, outcome)
    finally:
        keeping.cancel()


async def _settled(execution_id: uuid.UUID, holder: uuid.UUID, recorder: Recorder, outcome: dict[str, Any]) -> Claim:
    # What it recorded comes before its end.
    await recorder.aflush()
    return await _reaching(claims.settle, execution_id=execution_id, holder=holder, **outcome)


async def _outcome(wanted: Call, recorder: Recorder) -> dict[str, Any]:
    """`content` or `error`, as `claims.settle` takes them."""
    tool = wanted.tool
    problem = problem_of(wanted.arguments, tool.parameters)
    if problem:
        return {"error": problem}
    try:
        async with asyncio.timeout(conf.PLUGINS_TOOL_SECONDS):
            content = await tool.run(wanted.arguments, Context(wanted.caller, recorder))
    except ToolError as error:
        return {"error": str(error) or "It failed."}
    except ThroughlineError as error:
        return {"error": error.message}
    except TimeoutError:
        return _cut_off(wanted, f"{tool.name} took longer than {conf.PLUGINS_TOOL_SECONDS:g} s and was stopped.")
    except asyncio.CancelledError:
        if _is_being_cancelled():
            raise
        # The tool's own: it cancelled something that it waited for. Let through, it would look like a stop of the answer.
        logger.exception("The tool %s was cancelled from within.", tool.name)
        return _cut_off(wanted, FAILED.format(tool.name))
    except Exception:
        logger.exception("The tool %s failed.", tool.name)
        return _cut_off(wanted, FAILED.format(tool.name))
    return _shown(wanted, content)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _cut_off(wanted: Call, error: str) -> dict[str, Any]:
    """What is to be said of a tool that came to no end of its own: where it may not be repeated, nobody knows what it did."""
    if wanted.tool.may_repeat(wanted.arguments):
        return {"error": error}
    return {"error": f"{error} {MAYBE_DONE}", "unknown": True}


def _shown(wanted: Call, content: Any) -> dict[str, Any]:
    """The result, or why it cannot be shown. What may not be repeated was done all the same, and the model must know."""
    try:
        size = len(to_json(content))
    except (TypeError, ValueError, RecursionError):
        logger.exception("The result of the tool %s is not JSON.", wanted.tool.name)
        problem = "Its result is not JSON; the reason is in the server's log."
    else:
        if size <= conf.PLUGINS_TOOL_RESULT_MAX_BYTES:
            return {"content": content}
        problem = f"The result has {size} bytes, of {conf.PLUGINS_TOOL_RESULT_MAX_BYTES} at most."
    if wanted.tool.may_repeat(wanted.arguments):
        return {"error": f"{problem} Ask for less."}
    return {"error": f"{problem} It was done, though: do not do it again."}


async def _keep(execution_id: uuid.UUID, holder: uuid.UUID) -> None:
    """Says again and again that the call is being made, until cancelled.

    At once when the database is back: a lease that ran out meanwhile is an unknown outcome to whoever looks first.
    """
    while True:
        await asyncio.sleep(conf.PLUGINS_CALL_LEASE_SECONDS / 3)
        if not await _reaching(claims.keep, execution_id=execution_id, holder=holder):
            logger.warning("Call %s was given up by another process.", execution_id)
            return


async def _reaching(func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `func` gives once the database can be reached: until then the run could not go on either."""
    while True:
        try:
            return await in_thread(func, *args, **kwargs)
        except UNREACHABLE as error:
            logger.warning("A call of a tool waits for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
