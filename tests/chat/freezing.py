"""State machines of processes that freeze: before and after any of their transactions, and wherever else their machine says.

A frozen process does nothing more until it is thawed, as one that was suspended; one that never is, is a process that was killed.
All of them live in one event loop. What is real stays real: stores, runners, writers, sweeps. The machine patches `in_thread`
of the modules that it wants to freeze with `gated`.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from accounts.threads import in_thread
from chat.runner import Runner
from chat.sweep import Sweep, lease_name
from events.broker.base import BaseBroker
from events.broker.connect import connect
from tests.patience import patiently

CURRENT: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)
"""In which process this code runs."""


class DeadError(Exception):
    """The process that runs this code is no more."""


def points(*places: Callable[..., Any] | str) -> list[str]:
    """The points before and after these functions, or whatever else has a name here."""
    return [f"{_name(place)}:{when}" for place in places for when in ("before", "after")]


Freezing = tuple[str, int]
"""A point at which a process freezes, and how often it passes there before that."""


def freezing(at: list[str]) -> st.SearchStrategy[Freezing | None]:
    """Where a process freezes, if it does."""
    return st.none() | st.tuples(st.sampled_from(at), st.sampled_from([0, 0, 0, 1, 2]))


def _name(place: Callable[..., Any] | str) -> str:
    return place if isinstance(place, str) else f"{place.__module__}.{place.__qualname__}"


@dataclass(eq=False, kw_only=True)
class Process:
    """What runs until it is frozen: at the point `freezes_at`, when it has passed it `passes` times."""

    freezes_at: str | None = None
    passes: int = 0
    frozen: bool = False
    killed: bool = False
    closed: bool = False
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    broker: BaseBroker = field(init=False)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    under_way: set[asyncio.Future[Any]] = field(default_factory=set)
    """What was asked of stores that have not answered yet."""
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def __post_init__(self):
        self.context.run(CURRENT.set, self)
        self.broker = self.connected()

    def connected(self) -> BaseBroker:
        """Its connection to the broker."""
        return connect()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` in this process."""
        task = asyncio.create_task(work, context=self.context)
        self.tasks.append(task)
        return task

    async def reach(self, point: str) -> None:
        """Goes on when the process is not frozen, here or elsewhere."""
        if point == self.freezes_at:
            if not self.passes:
                self.freeze()
            self.passes -= 1
        while self.frozen and not self.closed:
            await self.thawed.wait()
        if self.closed:
            raise DeadError

    def freezes_when(self, where: "Freezing | None") -> None:
        """Has it freeze at a point; None: nothing new."""
        if where is not None:
            self.freezes_at, self.passes = where

    def freeze(self) -> None:
        """Stops it where it is."""
        self.freezes_at, self.frozen = None, True
        self.thawed.clear()

    def thaw(self) -> None:
        """Lets it go on."""
        self.frozen = False
        self.thawed.set()

    async def ask(self, place: Callable[..., Any] | str, question: Coroutine[Any, Any, Any]) -> Any:
        """Asks a store, with a point before and one after it. It answers to the end, also when nobody waits any more."""
        try:
            await self.reach(f"{_name(place)}:before")
        except BaseException:
            # Dead, or cancelled: what was never asked would be reported as never awaited.
            question.close()
            raise
        asked = asyncio.ensure_future(question)
        self.under_way.add(asked)
        asked.add_done_callback(self.under_way.discard)
        answer = await asyncio.shield(asked)
        await self.reach(f"{_name(place)}:after")
        return answer

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What this process asks of the database: for subclasses that want to see it."""
        return await in_thread(function, *args, **kwargs)

    @property
    def is_calm(self) -> bool:
        """Whether nothing more happens in it, or in a store for it, by itself."""
        return not self.under_way and (self.frozen or self.is_done)

    @property
    def is_done(self) -> bool:
        """Whether it does nothing more by itself, though it is not frozen."""
        return all(task.done() for task in self.tasks)


@dataclass(eq=False, kw_only=True)
class WorkerProcess(Process):
    """A worker that does with runs what it is told, and nothing from time to time."""

    runner: Runner = field(default_factory=Runner)

    def connected(self) -> BaseBroker:
        """The runner's."""
        return self.runner._broker

    def start(self) -> None:
        """Begins to write what its runs say."""
        self.context.run(self.runner._writer.start)


async def gated(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`in_thread` of a process that may freeze before and after."""
    process = CURRENT.get()
    if process is None:
        return await in_thread(function, *args, **kwargs)
    return await process.ask(function, process.call(function, *args, **kwargs))


class FreezingMachine(RuleBasedStateMachine):
    """Processes that are started, frozen, thawed, killed and taken for dead.

    Its rules have no preconditions: what a process has done when it is frozen may depend on moments, and Hypothesis takes a rule
    that was possible and is not any more for a mistake. A rule that finds nothing to do does nothing.
    """

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.processes = []
        self.broker = self.wait(self._connected())

    async def _connected(self):
        return connect()

    def wait(self, coroutine):
        return self.loop.run_until_complete(self._within(coroutine))

    async def _within(self, coroutine):
        async with asyncio.timeout(patiently(60)):
            return await coroutine

    @property
    def asleep(self):
        """Those that are frozen and may go on."""
        return [each for each in self.processes if each.frozen and not each.killed]

    async def _calm(self):
        while not all(each.is_calm for each in self.processes):  # noqa: ASYNC110 - of many kinds
            await asyncio.sleep(0.002)

    @rule(which=st.integers(0, 3))
    def wake(self, which):
        if self.asleep:
            self.wait(self._thaw(self.asleep[which % len(self.asleep)]))

    async def _thaw(self, process):
        process.thaw()
        await self._calm()

    @rule(which=st.integers(0, 3))
    def kill(self, which):
        if self.asleep:
            self.asleep[which % len(self.asleep)].killed = True

    async def _sweep(self, process):
        """One sweep for the runs of workers that are dead; whoever is frozen has been silent for long enough to be one."""
        workers = [each for each in self.processes if isinstance(each, WorkerProcess)]
        living = {lease_name(each.runner.name) for each in workers if not (each.frozen or each.closed)}

        async def alive(names):
            return [name in living for name in names]

        process.broker.alive = alive
        self.processes.append(process)
        process.spawn(Sweep(broker=process.broker).sweep())
        await self._calm()

    def close(self):
        """For the end of an example: nothing of it is left in the event loop."""
        self.wait(self._close())
        self.loop.close()

    async def _close(self):
        for process in self.processes:
            process.closed = True
            process.thawed.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for process in self.processes:
            await process.broker.close()
        await self.broker.close()
