"""Calling a tool for a run: checked, done at most once, recorded as an execution."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
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
from plugins.tools.claims import Call, Claim, Place, Status
from plugins.tools.registry import Context, ToolError, tools

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

POLL_SECONDS = 0.3
RETRY_SECONDS = 0.5
STOPPED = "This was stopped."
STOPPED_UNKNOWN = "This was stopped while it was being done. It may or may not have happened. Check before you do it again."


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

    With an `idempotency_key` that was used before nothing is done again: the result of then is given. A call that was cut
    off by the end of its process is repeated if it may be; else its outcome is unknown, and the error says so. While the
    database is away this waits. The key is the caller's own: at most 255 characters, empty for a call without one.
    """
    known = tools()
    tool = known.get(name)
    if tool is None:
        return ToolResult(False, None, f"There is no tool called {name[:100]!r}. There are: {', '.join(known) or 'none'}.", "")
    wanted = Call(tool, arguments, caller, run_id, call_id, idempotency_key)
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
        size = len(to_json(content))
    except ToolError as error:
        return {"error": str(error) or "It failed."}
    except ThroughlineError as error:
        return {"error": error.message}
    except TimeoutError:
        took = f"{tool.name} took longer than {conf.PLUGINS_TOOL_SECONDS:g} s and was stopped."
        return {"error": took, "unknown": not tool.may_repeat(wanted.arguments)}
    except Exception:
        logger.exception("The tool %s failed.", tool.name)
        return {"error": f"{tool.name} failed unexpectedly; the reason is in the server's log."}
    if size > conf.PLUGINS_TOOL_RESULT_MAX_BYTES:
        return {"error": f"The result has {size} bytes, of {conf.PLUGINS_TOOL_RESULT_MAX_BYTES} at most. Ask for less."}
    return {"content": content}


async def _keep(execution_id: uuid.UUID, holder: uuid.UUID) -> None:
    """Says again and again that the call is being made, until cancelled."""
    while True:
        await asyncio.sleep(conf.PLUGINS_CALL_LEASE_SECONDS / 3)
        with suppress(OperationalError, InterfaceError, OSError):
            if not await in_thread(claims.keep, execution_id=execution_id, holder=holder):
                logger.warning("Call %s was given up by another process.", execution_id)
                return


async def _reaching(func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `func` gives once the database can be reached: until then the run could not go on either."""
    while True:
        try:
            return await in_thread(func, *args, **kwargs)
        except (OperationalError, InterfaceError, OSError, Unavailable) as error:
            logger.warning("A call of a tool waits for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
