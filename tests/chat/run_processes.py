"""The processes of the machine of runs (`test_runs_machine`): workers, and where users stop answers."""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from django.db import OperationalError, connection

from accounts.threads import in_thread
from chat.engines.scripted import ScriptedEngine
from chat.services import claiming, runs
from chat.services.endings import CANCELLED
from chat.sweep import end_run
from tests.chat.freezing import CURRENT, WorkerProcess, gated
from tests.chat.watching import Watched

PIECE = "a piece"
"""The point between two pieces of an engine's text."""
CONCURRENCY = 2


def written(statement, *values):
    """Changes jobs as procrastinate does."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


class WaitingEngine(ScriptedEngine):
    """Says its pieces when its worker lets it."""

    async def stream(self, request):
        worker = CURRENT.get()
        async with aclosing(super().stream(request)) as parts:
            async for part in parts:
                await worker.next_piece()
                yield part


@dataclass(eq=False, kw_only=True)
class Worker(Watched, WorkerProcess):
    """Its engines say so many `pieces` more, and wait then."""

    stopped: set
    """The runs that somebody has stopped."""
    pieces: int = 0
    waiting: set = field(default_factory=set)
    """The engines that wait, and have not been woken."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: list = field(default_factory=list)
    shutdown: asyncio.Task | None = None
    loses_claim: bool = False
    """Whether it is not to hear of its next claim: the connection is lost during COMMIT."""
    lost: set = field(default_factory=set)
    """The runs that it has claimed so."""

    def start(self):
        super().start()
        self.runner._tasks.append(self.context.run(asyncio.create_task, self.runner._stop_forever()))

    def drives(self, message_id):
        return not self.closed and message_id in self.runner._driving

    def say(self, pieces):
        """Lets its engines say so much more, together."""
        self.pieces = pieces
        self.waiting.clear()
        self.go_on.set()

    async def next_piece(self):
        await self.reach(f"{PIECE}:before")
        while not self.pieces:
            self.go_on.clear()
            waiting = object()
            self.waiting.add(waiting)
            try:
                await self.go_on.wait()
            finally:
                self.waiting.discard(waiting)
        self.pieces -= 1
        await self.reach(f"{PIECE}:after")

    async def call(self, function, *args, **kwargs):
        result = await super().call(function, *args, **kwargs)
        if function is claiming.claim and result is not None and self.loses_claim:
            self.loses_claim = False
            self.lost.add(result.message_id)
            raise OperationalError("the connection was lost during COMMIT")
        return result

    async def do(self, job, message_id):
        """As procrastinate does a job: when it was done, or has failed, it is deleted."""
        with suppress(OperationalError):
            await self.runner.answer(message_id)
        await in_thread(written, "DELETE FROM procrastinate_jobs WHERE id = %s", job)

    async def shut_down(self):
        """As `chat.worker` does."""
        self.runner.closing = True
        for job in self.jobs:
            job.cancel()
        await asyncio.gather(*self.jobs, return_exceptions=True)
        await self.runner.close()
        self.closed = True

    @property
    def is_done(self):
        """Whether all its engines wait, what they have said is written, and nobody is left who could be started or is stopped."""
        if self.shutdown is not None:
            return self.shutdown.done()
        runner, streams = self.runner, self.runner._writer._streams.values()
        is_full = runner._slots.locked()
        return (
            len(runner._driving) == len(self.waiting) == CONCURRENCY - runner._slots._value
            and (is_full or not (runner._claiming or runner._starting or any(not job.done() for job in self.jobs)))
            and not any(each.unsent or each.unjournaled or each._merging for each in streams)
            and not self.stopped & runner._drivers.keys()
        )


@dataclass(eq=False, kw_only=True)
class Stopper(Watched):
    """The process to which a user says that an answer is to be stopped."""

    stopped: set

    async def call(self, function, *args, **kwargs):
        result = await super().call(function, *args, **kwargs)
        if function is runs.request_stop:
            self.stopped.add(kwargs["message_id"])
        return result

    async def stop(self, caller, message_id):
        """As `answers.stop`."""
        taken = await gated(runs.request_stop, caller=caller, message_id=message_id)
        if taken is not None:
            await end_run(self.broker, taken, CANCELLED)
