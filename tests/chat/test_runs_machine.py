"""Runs, played at random: workers, sweeps and those who stop that freeze anywhere, jobs twice or lost, shutdowns, readers.

The stores are real, and so are runners, drivers, sweeps and the scripted engine, which waits between its pieces, or freezes.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import pytest
from django.db import OperationalError, connection
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.threads import in_thread
from chat import runner as runner_module
from chat import sweep as sweep_module
from chat.engines.scripted import ScriptedEngine
from chat.models import Conversation, Run
from chat.run_events import Type
from chat.services import answers, claiming, endings, leases, runs, sweeping
from chat.services.endings import CANCELLED
from chat.services.questions import message_stream
from chat.services.sweeping import DEAD
from chat.sweep import end_run
from events import journal
from events import writer as writer_module
from events.broker.base import Appended
from events.event import EVENT_TYPES, START, compact
from events.log import Log
from events.models import DurableStream
from events.streams import Stream
from tests.chat.conftest import ask, script, texts, types
from tests.chat.freezing import CURRENT, DeadError, FreezingMachine, Process, WorkerProcess, gated, points
from tests.machines import play

PIECE = "a piece"
STORED = ("fence", "append_durable", "seed")
"""What is done with a durable stream in the broker."""
WORKING = points(claiming.claim, claiming.hand_back, journal.append, journal.end, "fence", "append_durable", PIECE)
SWEEPING = points(sweeping.requeue_forgotten, sweeping.take_over, journal.append, endings.end, "fence", "append_durable")
STOPPING = points(runs.request_stop, journal.append, endings.end, "fence", "append_durable")
OVER = (Run.Status.COMPLETED, Run.Status.FAILED, Run.Status.CANCELLED)
ENOUGH = 1000
"""Pieces that end every script."""


def freezing(at):
    """Where a process freezes, if it does."""
    return st.none() | st.tuples(st.sampled_from(at), st.sampled_from([0, 0, 1, 2]))


class Leases:
    """Which leases were given, and what was taken under one when a newer one was known already."""

    def __init__(self):
        self.given = defaultdict(set)
        self.fenced = Counter()
        self.mistakes = []

    def give(self, message_id, lease):
        """No lease is given twice: of two that have it neither is fenced."""
        if lease in self.given[message_id]:
            self.mistakes.append(f"lease {lease} of {message_id} was given twice")
        self.given[message_id].add(lease)

    async def watch(self, function, *args, **kwargs):
        """Asks the database, and compares what it took with the leases that it knew before."""
        held = _held(function, args, kwargs)
        known = await in_thread(_known, [stream for stream, _ in held])
        result = await in_thread(function, *args, **kwargs)
        taken = result if function is journal.append else [result is not False] * len(held)
        for (stream, lease), ok in zip(held, taken, strict=True):
            if ok and known[stream.name] != (lease, None):
                self.mistakes.append(f"{function.__qualname__} under lease {lease}, known was {known[stream.name]}")
        if isinstance(result, claiming.Claim | leases.TakenOver):
            self.give(result.message_id, result.lease)
        return result

    async def watch_broker(self, name, ask, *args, **kwargs):
        """The same of the broker: a fence that has come back holds."""
        before = self.fenced.copy()
        result = await ask(*args, **kwargs)
        if name == "append_durable":
            taken = [(each.stream, each.lease, answer is Appended.OK) for each, answer in zip(args[0], result, strict=True)]
        else:
            taken = [(*args[:2], result not in (None, Appended.STALE))]
        for stream, lease, ok in taken:
            if ok and lease < before[stream]:
                self.mistakes.append(f"{name} under lease {lease}, after a fence of {before[stream]}")
            if ok and name == "fence":
                self.fenced[stream] = max(self.fenced[stream], lease)
        return result


def _held(function, args, kwargs):
    """The streams to which something is written under a lease, with the leases."""
    if function is journal.append:
        return [(stream, lease) for stream, lease, _ in args[0]]
    if function in (journal.commit, journal.end):
        return [(kwargs["stream"], kwargs["lease"])]
    if function is endings.end:
        return [(message_stream(kwargs["message_id"]), kwargs["lease"])]
    if function is claiming.hand_back:
        return [(message_stream(kwargs["claim"].message_id), kwargs["claim"].lease)]
    return []


def _known(streams):
    rows = DurableStream.objects.filter(name__in=[each.name for each in streams]) if streams else []
    return {row.name: (row.lease, row.ended_at) for row in rows}


@dataclass(eq=False, kw_only=True)
class Watched(Process):
    """A process whose writing is watched; it may freeze before and after what it asks of the broker, too."""

    leases: Leases

    def __post_init__(self):
        super().__post_init__()
        for name in STORED:
            setattr(self.broker, name, partial(self._ask_broker, name, getattr(self.broker, name)))

    async def _ask_broker(self, name, ask, *args, **kwargs):
        await self.reach(f"{name}:before")
        result = await self.leases.watch_broker(name, ask, *args, **kwargs)
        await self.reach(f"{name}:after")
        return result

    async def call(self, function, *args, **kwargs):
        """What this process asks of the database."""
        return await self.leases.watch(function, *args, **kwargs)


@dataclass(eq=False, kw_only=True)
class Worker(Watched, WorkerProcess):
    """Its engines say so many `pieces` more, and wait then."""

    pieces: int = 0
    waiting: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: list[asyncio.Task] = field(default_factory=list)
    shutdown: asyncio.Task | None = None
    loses_claim: bool = False
    """Whether it is not to hear of its next claim: the connection is lost during COMMIT."""
    lost: set = field(default_factory=set)
    """The runs that it has claimed so."""

    def start(self):
        """Begins to write, and to look for stops."""
        super().start()
        self.runner._tasks.append(self.context.run(asyncio.create_task, self.runner._stop_forever()))

    def drives(self, message_id):
        """Whether a run will go on here."""
        return not self.closed and message_id in self.runner._driving

    def say(self, pieces):
        """Lets its engines say so much more, together."""
        self.pieces = pieces
        if pieces:
            self.go_on.set()

    async def next_piece(self):
        """Comes back when an engine may say one more."""
        await self.reach(f"{PIECE}:before")
        while not self.pieces:
            self.go_on.clear()
            self.waiting += 1
            try:
                await self.go_on.wait()
            finally:
                self.waiting -= 1
        self.pieces -= 1
        await self.reach(f"{PIECE}:after")

    async def call(self, function, *args, **kwargs):
        """What this process asks of the database."""
        result = await super().call(function, *args, **kwargs)
        if function is claiming.claim and result is not None and self.loses_claim:
            self.loses_claim = False
            self.lost.add(result.message_id)
            raise OperationalError("the connection was lost during COMMIT")
        return result

    async def do(self, job, message_id):
        """As procrastinate does a job."""
        try:
            await self.runner.answer(message_id)
        except OperationalError:
            pass
        await in_thread(_forget, job)

    async def shut_down(self):
        """As `chat.worker` does."""
        self.runner.closing = True
        for job in self.jobs:
            job.cancel()
        await asyncio.gather(*self.jobs, return_exceptions=True)
        await self.runner.close()
        self.closed = True

    @property
    def is_calm(self):
        """Whether all its engines wait, what they have said is written, and nobody is left who could be started or stopped."""
        if self.frozen or self.closed:
            return True
        if self.shutdown is not None:
            return self.shutdown.done()
        runner, streams = self.runner, self.runner._writer._streams.values()
        full = runner._slots.locked()
        return (
            len(runner._driving) == self.waiting == CONCURRENCY - runner._slots._value
            and (full or not (runner._claiming or runner._starting or any(not job.done() for job in self.jobs)))
            and not any(each.unsent or each.unjournaled or each._merging for each in streams)
            and not any(driver._stop_wanted for driver in ())
        )


CONCURRENCY = 2


class WaitingEngine(ScriptedEngine):
    """Says its pieces when its worker lets it."""

    async def stream(self, request):
        worker = CURRENT.get()
        async with aclosing(super().stream(request)) as parts:
            async for part in parts:
                await worker.next_piece()
                yield part


def _take(job):
    """Marks a job as being done; False when somebody has it."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s AND status = 'todo'", [job])


def _forget(job):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job])


class Reader:
    """One who follows an answer."""

    def __init__(self):
        self.got = []

    @property
    def cursor(self):
        return self.got[-1].id if self.got else START
