"""Recording what a plugin does while it does it: steps, variables, calls, words. Sync and async code alike.

    with Recorder(execution_id) as recorder, recorder.step("parse") as step:
        step.variable("rows", len(rows))

A recorder never slows a plugin and never fails it: values are masked and put into a bounded buffer, which the
process's database threads empty. What does not fit while the database is away is dropped, and that is recorded.
"""

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from plugins import executions
from plugins.conf import conf
from plugins.execution_events import Type
from plugins.recording import Buffer

logger = logging.getLogger(__name__)


class Recorder:
    """Records one execution, from any thread. With `with` or `async with` the end of the block ends the execution.

    An exception that leaves the block is recorded as `execution_error`, and goes on. `result`: what the block made.
    `holder`: who holds the execution, where it is a tool call; its end is then not the recorder's.
    """

    def __init__(self, execution_id: uuid.UUID, *, holder: uuid.UUID | None = None) -> None:
        self.execution_id = execution_id
        self.result: Any = None
        self._holder = holder
        self._buffer = Buffer(execution_id, holder)

    # What a plugin says.

    def log(self, message: object, *, level: str = "info") -> None:
        """Words."""
        self._record(Type.LOG, {"message": message if isinstance(message, str) else str(message), "level": level})

    def trace(self, **fields: Any) -> None:
        """Where the plugin is, in fields of its own."""
        self._record(Type.TRACE, fields)

    def variable(self, name: str, value: Any) -> None:
        """The state of a variable, as it is now."""
        self._record(Type.VARIABLE, {"name": name, "value": value})

    def api_call(
        self, method: str, url: str, *, status: int | None = None, duration_ms: float | None = None, **more: Any
    ) -> None:
        """A call of somebody's API."""
        known = {"method": method, "url": url, "status": status, "duration_ms": duration_ms}
        self._record(Type.API_CALL, {name: value for name, value in known.items() if value is not None} | more)

    def step(self, name: str) -> "Step":
        """A step; use it with `with` or `async with`. Steps may be nested with the `step` of a step."""
        return Step(self, name, parent_id="")

    def complete(self, result: Any = None) -> None:
        """Ends the execution well. For those who do not use the recorder with `with`."""
        self._record(Type.COMPLETE, {"result": result})

    def fail(self, error: BaseException | str) -> None:
        """Ends the execution as failed. For those who do not use the recorder with `with`."""
        self._record(Type.ERROR, _told(error))

    def _record(self, type_: Type, data: dict[str, Any]) -> None:
        try:
            # At once: the plugin may change the value, and it must not go into a buffer with its secrets.
            self._buffer.add(executions.masked((type_, data)))
        except Exception:
            logger.exception("An event of execution %s could not be recorded.", self.execution_id)

    # Its life.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(error)
        self.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(error)
        await self.aflush()

    def _end(self, error: BaseException | None) -> None:
        if self._holder is not None:
            return
        if error is None:
            self.complete(self.result)
        else:
            self.fail(error)

    def flush(self) -> bool:
        """Waits until all is written, PLUGINS_RECORDER_WAIT_SECONDS at most; whether it is."""
        with suppress(TimeoutError):
            self._buffer.settled.result(conf.PLUGINS_RECORDER_WAIT_SECONDS)
        return self._buffer.settled.done()

    async def aflush(self) -> bool:
        """`flush` for the event loop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(conf.PLUGINS_RECORDER_WAIT_SECONDS):
                await asyncio.shield(asyncio.wrap_future(self._buffer.settled))
        return self._buffer.settled.done()


class Step:
    """A step of an execution: told when it begins and when it has ended, and how."""

    def __init__(self, recorder: Recorder, name: str, *, parent_id: str) -> None:
        self.name = name
        self._recorder = recorder
        self._id = uuid.uuid4().hex[:12]
        self._parent_id = parent_id
        self._began = 0.0

    def step(self, name: str) -> "Step":
        """A step within this one."""
        return Step(self._recorder, name, parent_id=self._id)

    def log(self, message: object, *, level: str = "info") -> None:
        """Words."""
        text = message if isinstance(message, str) else str(message)
        self._recorder._record(Type.LOG, {"message": text, "level": level, "step_id": self._id})

    def variable(self, name: str, value: Any) -> None:
        """The state of a variable, as it is now."""
        self._recorder._record(Type.VARIABLE, {"name": name, "value": value, "step_id": self._id})

    def trace(self, **fields: Any) -> None:
        """Where the plugin is, in fields of its own."""
        self._recorder._record(Type.TRACE, fields | {"step_id": self._id})

    def api_call(self, method: str, url: str, **more: Any) -> None:
        """A call of somebody's API: `Recorder.api_call`."""
        self._recorder.api_call(method, url, **more, step_id=self._id)

    def _tell(self, status: str, **more: Any) -> None:
        parent = {"parent_id": self._parent_id} if self._parent_id else {}
        self._recorder._record(Type.STEP, {"name": self.name, "status": status, "step_id": self._id} | parent | more)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._tell("started")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        took = {"duration_ms": round((time.monotonic() - self._began) * 1000, 1)}
        if error is None:
            self._tell("completed", **took)
        else:
            self._tell("failed", **took, **_told(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


def _told(error: BaseException | str) -> dict[str, Any]:
    if isinstance(error, str):
        return {"error": error or "It failed."}
    with suppress(Exception):
        return {"error": f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, "kind": type(error).__name__}
    return {"error": type(error).__name__, "kind": type(error).__name__}
