"""Runs, played at random: workers, sweeps and those who stop that freeze anywhere, jobs twice or lost, shutdowns, readers.

The stores are real, and so are runners, drivers, sweeps and the scripted engine, which waits between its pieces or freezes there.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from procrastinate.contrib.django.models import ProcrastinateJob

from chat import runner as runner_module
from chat import sweep as sweep_module
from chat.models import Conversation, Run
from chat.run_events import Type
from chat.services import answers, claiming, endings, runs, sweeping
from chat.services.questions import message_stream
from chat.services.sweeping import DEAD
from events import journal
from events import writer as writer_module
from events.event import EVENT_TYPES, START
from events.log import Log
from events.models import DurableStream
from events.streams import Stream
from tests.chat.conftest import ask, script, texts, types
from tests.chat.freezing import DeadError, FreezingMachine, freezing, gated, points
from tests.chat.run_processes import CONCURRENCY, PIECE, Stopper, Worker, written
from tests.chat.watching import Leases, Watched
from tests.machines import play

IN_THE_BROKER = ("fence", "append_durable")
WORKING = points(claiming.claim, claiming.hand_back, journal.append, journal.end, *IN_THE_BROKER, PIECE)
SWEEPING = points(sweeping.take_over, journal.append, endings.end, *IN_THE_BROKER)
STOPPING = points(runs.request_stop, journal.append, endings.end, *IN_THE_BROKER)
MOST = 6
"""So many questions are asked."""
ENOUGH = 1000
"""Pieces that end every script."""


@dataclass(eq=False)
class Asked:
    """A question that was asked, and what is known of its answer: `text` and `outcome` are what the script comes to."""

    pk: object
    text: str
    outcome: str
    journal: list = field(default_factory=list)
    readers: list = field(default_factory=lambda: [[], []])
    """What each reader has got."""
    leases: tuple = (0, 0)

    @property
    def stream(self):
        return message_stream(self.pk)


OUTCOMES = {"": [], "scripted_failure": [{"fail": {}}], "engine_incomplete": [{"no_finish": True}]}


def todo():
    """The jobs that wait for a worker: their number, by message id."""
    return {job.args["message_id"]: job.pk for job in ProcrastinateJob.objects.filter(status="todo").order_by("pk")}


class Machine(FreezingMachine):
    """What must hold whatever happens; see the invariants and `teardown`."""

    def __init__(self, alice):
        super().__init__()
        self.alice = alice
        self.asked = []
        self.leases = Leases()
        self.stopped = set()
        self.log = Log(self.broker)
        self.told = []
        """What the user's feed has told."""

    # What can be looked at.

    @property
    def workers(self):
        return [each for each in self.processes if isinstance(each, Worker)]

    @property
    def awake(self):
        return [each for each in self.workers if not each.frozen and not each.closed]

    def rows(self):
        return list(Run.objects.select_related("message").filter(pk__in=[each.pk for each in self.asked]).order_by("created_at"))

    def open(self, *statuses):
        return [run.pk for run in self.rows() if run.status in (statuses or Run.OPEN)]

    # What happens.

    @initialize(pieces=st.integers(1, 4))
    def ask_first(self, pieces):
        self.ask(pieces, "")

    @rule(
        pieces=st.integers(0, 4),
        outcome=st.sampled_from(["", "", "", *OUTCOMES]),
        job_is_lost=st.sampled_from([False, False, True]),
    )
    def ask(self, pieces, outcome, job_is_lost=False):
        """Perhaps a worker takes the job, and dies before it claims the run."""
        if len(self.asked) == MOST:
            return
        said = [f"{len(self.asked)}.{number} " for number in range(pieces)]
        message = ask(self.alice, script(*({"text": each} for each in said), *OUTCOMES[outcome]))
        self.asked.append(Asked(message.pk, "".join(said), outcome))
        if job_is_lost:
            written("DELETE FROM procrastinate_jobs WHERE id = %s", todo()[str(message.pk)])

    @rule(pieces=st.integers(1, 4), said=st.sampled_from([0, 1, 2, ENOUGH]), freezes=freezing(WORKING), to=st.integers(0, 1))
    def ask_and_answer(self, pieces, said, freezes, to):
        """At once, by a worker that freezes somewhere; the job will be delivered once more."""
        if len(self.asked) < MOST:
            self.ask(pieces, "")
            message_id = str(self.asked[-1].pk)
            self.wait(self._deliver(message_id, 0, to, said, freezes))

    @rule(
        which=st.integers(0, 4),
        to=st.integers(0, 3),
        pieces=st.sampled_from([0, 1, 2, ENOUGH]),
        freezes=freezing(WORKING),
        is_kept=st.sampled_from([False, False, True]),
        loses_claim=st.sampled_from([False, False, False, False, True]),
    )
    def deliver_a_job(self, which, to, pieces, freezes, is_kept, loses_claim):
        """To a worker that has others, or a new one; the job that `is_kept` will be delivered once more."""
        jobs = list(todo().items())
        if not jobs:
            return
        message_id, job = jobs[which % len(jobs)]
        if not is_kept:
            written("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", job)
        self.wait(self._deliver(message_id, 0 if is_kept else job, to, pieces, freezes, loses_claim))

    async def _deliver(self, message_id, job, to, pieces, freezes, loses_claim=False):
        worker = self.awake[to] if to < len(self.awake) else await self._new_worker()
        worker.freezes_when(freezes)
        worker.loses_claim = loses_claim
        worker.say(pieces)
        worker.jobs.append(worker.spawn(worker.do(job, next(each.pk for each in self.asked if str(each.pk) == message_id))))
        await self._calm()

    async def _new_worker(self):
        worker = Worker(leases=self.leases, stopped=self.stopped)
        worker.start()
        self.processes.append(worker)
        return worker

    @property
    def busy(self):
        """The workers that drive something."""
        return [each for each in self.awake if each.runner._driving]

    @rule(which=st.integers(0, 3), pieces=st.sampled_from([1, 2, ENOUGH]), freezes=freezing(WORKING))
    def engines_go_on(self, which, pieces, freezes):
        if self.busy:
            self.wait(self._say(self.busy[which % len(self.busy)], pieces, freezes))

    async def _say(self, worker, pieces, freezes=None):
        worker.freezes_when(freezes)
        worker.say(pieces)
        await self._calm()

    @rule(which=st.integers(0, 3))
    def freeze(self, which):
        """In the middle of an engine's words."""
        if self.busy:
            self.busy[which % len(self.busy)].freeze()

    @rule(which=st.integers(0, 3), freezes=freezing(WORKING))
    def shut_down(self, which, freezes):
        if self.busy:
            self.wait(self._shut_down(self.busy[which % len(self.busy)], freezes))

    async def _shut_down(self, worker, freezes):
        worker.freezes_when(freezes)
        worker.shutdown = worker.spawn(worker.shut_down())
        await self._calm()

    @rule(which=st.integers(0, 5), freezes=freezing(STOPPING))
    def stop(self, which, freezes):
        if not self.open():
            return
        run = self.open()[which % len(self.open())]
        was_queued = run in self.open(Run.Status.QUEUED)
        if freezes is None:
            answers.stop(caller=self.alice, message_id=run)
            self.stopped.add(run)
            assert not was_queued or run not in self.open(), "nobody had claimed it, and it did not end at once"
        self.wait(self._stop(run, freezes))

    async def _stop(self, run, freezes):
        if freezes is not None:
            stopper = Stopper(leases=self.leases, stopped=self.stopped)
            stopper.freezes_when(freezes)
            self.processes.append(stopper)
            stopper.spawn(stopper.stop(self.alice, run))
        await self._calm()

    @rule(freezes=freezing(SWEEPING))
    def sweep(self, freezes):
        """With all that is frozen taken for dead."""
        sweeper = self.wait(self._sweep_once(freezes))
        if sweeper.frozen:
            return
        jobs = todo()
        for run in self.rows():
            assert run.status != Run.Status.QUEUED or str(run.pk) in jobs, "it waits, and no job will start it"
            if run.status == Run.Status.RUNNING:
                assert any(each.drives(run.pk) for each in self.awake), "nobody drives it, and the sweep has not seen that"

    async def _sweep_once(self, freezes=None):
        for worker in self.awake:
            await worker.spawn(worker.runner._disown_forgotten())
        sweeper = Watched(leases=self.leases)
        sweeper.freezes_when(freezes)
        await self._sweep(sweeper)
        return sweeper

    @rule(which=st.integers(0, 3))
    def the_sleeper_is_taken_for_dead_and_wakes(self, which):
        if self.asleep:
            sleeper = self.asleep[which % len(self.asleep)]
            self.sweep(None)
            self.wait(self._thaw(sleeper))

    @rule(working=st.sampled_from(WORKING), sweeping=st.sampled_from(SWEEPING), said=st.sampled_from([1, ENOUGH]))
    def worker_and_sweep_fall_asleep_and_the_worker_wakes_first(self, working, sweeping, said):
        if len(self.asked) == MOST:
            return
        self.ask_and_answer(2, said, (working, 0), MOST)
        worker = self.processes[-1]
        if worker.frozen:
            self.sweep((sweeping, 0))
            sweeper = self.processes[-1]
            self.wait(self._thaw(worker))
            if sweeper.frozen:
                self.wait(self._thaw(sweeper))

    @rule(stopping=st.sampled_from(STOPPING), working=st.sampled_from(WORKING))
    def who_stops_falls_asleep_and_the_run_is_claimed(self, stopping, working):
        queued = [run for run in self.open(Run.Status.QUEUED) if str(run) in todo()]
        if queued:
            self.wait(self._stop(queued[0], (stopping, 0)))
            stopper = self.processes[-1]
            self.wait(self._deliver(str(queued[0]), todo()[str(queued[0])], MOST, 1, (working, 0)))
            if stopper.frozen:
                self.wait(self._thaw(stopper))

    @rule(which=st.integers(0, 4), who=st.integers(0, 1), is_behind=st.booleans())
    def read(self, which, who, is_behind):
        """One who follows reads on; he may have heard that the broker is behind the journal."""
        asked = self.asked[which % len(self.asked)]
        self.follow(asked.stream, asked.readers[who], is_behind)

    def follow(self, stream, got, is_behind=False):
        """Reads on once; whether there was more."""
        ask = self.log.read_journaled if is_behind else self.log.read
        reading = self.wait(ask(stream, got[-1].id if got else START))
        assert reading.continuous, reading.reason
        got += reading.events
        return bool(reading.events)

    # What must hold.

    @invariant()
    def leases_hold(self):
        """Whoever was taken over writes nothing more, neither into the journal nor into the broker."""
        assert not self.leases.mistakes
        rows = {row.name: row.lease for row in DurableStream.objects.all()}
        runs = {run.pk: run.lease for run in self.rows()}
        for asked in self.asked:
            now = (runs[asked.pk], rows[asked.stream.name])
            assert all(new >= old for new, old in zip(now, asked.leases, strict=True)), "a lease was given back"
            asked.leases = now

    @invariant()
    def every_run_ends_once(self):
        self.follow(Stream("user", self.alice.user_id), self.told)
        told = Counter(event.data["message_id"] for event in self.told if event.type == Type.MESSAGE_FINISHED)
        for run, asked in zip(self.rows(), self.asked, strict=True):
            events = journal.read(asked.stream, START)
            is_over = run.status not in Run.OPEN
            terminal = [number for number, event in enumerate(events) if EVENT_TYPES[event.type].terminal]
            assert terminal == ([len(events) - 1] if is_over else [])
            assert told[str(run.pk)] == is_over, "of each end people are told once"
            assert events[: len(asked.journal)] == asked.journal, "the journal only grows"
            asked.journal = events
            assert asked.text.startswith(texts(events))
            assert run.message.text == (texts(events) if is_over else "")
            if is_over:
                self._ended_for_a_reason(run, asked)
            elif run.status == Run.Status.QUEUED:
                assert types(events) == [Type.STARTED], "what has said something does not begin again"

    def _ended_for_a_reason(self, run, asked):
        assert run.head == len(asked.journal)
        if run.status == Run.Status.COMPLETED:
            assert (run.message.text, asked.outcome) == (asked.text, "")
        elif run.status == Run.Status.CANCELLED:
            assert run.pk in self.stopped
        elif run.error_code == "worker_stopped":
            assert any(each.shutdown for each in self.workers)
        elif run.error_code == "producer_stale":
            assert len(self.leases.given[run.pk]) > 1, "no sweep has taken it over"
        else:
            assert run.error_code == asked.outcome

    @invariant()
    def readers_have_the_beginning_of_the_journal_or_more(self):
        for asked in self.asked:
            for got in asked.readers:
                assert all(mine == theirs for other in (asked.journal, *asked.readers) for mine, theirs in zip(got, other))  # noqa: B905

    @invariant()
    def a_running_run_is_driven_or_will_be_found(self):
        workers = {each.runner.name: each for each in self.workers}
        for run in self.rows():
            assert sum(each.drives(run.pk) for each in self.awake) < 2, "two drive it"
            if run.status == Run.Status.RUNNING and run.worker and not run.worker.endswith(DEAD):
                worker = workers[run.worker]
                assert worker.frozen or worker.drives(run.pk) or run.pk in worker.lost, "it runs, and nobody drives it"

    @invariant()
    def nothing_fails_that_should_not(self):
        for task in (task for each in self.processes for task in each.tasks if task.done() and not task.cancelled()):
            assert task.exception() is None or isinstance(task.exception(), DeadError), repr(task.exception())

    def teardown(self):
        """Whoever sleeps is killed, and the others go on: with sweeps and new workers every run comes to its end."""
        try:
            for process in self.asleep:
                process.killed = True
            for worker in self.awake:
                self.wait(self._say(worker, ENOUGH))
            for _ in range(4):
                if not self.open():
                    break
                self.sweep(None)
                for message_id, job in todo().items():
                    self.wait(self._deliver(message_id, job, 0, ENOUGH, None))
            assert not self.open(), "a run hangs"
            for asked in self.asked:
                for got in asked.readers:
                    while self.follow(asked.stream, got) or self.follow(asked.stream, got, is_behind=True):
                        pass
            self.leases_hold()
            self.every_run_ends_once()
            self.nothing_fails_that_should_not()
            for asked in self.asked:
                assert asked.readers == [asked.journal, asked.journal]
        finally:
            self.wait(self.log.close())
            self.close()
            # The next example begins with nothing.
            Conversation.objects.all().delete()
            DurableStream.objects.all().delete()
            written("TRUNCATE procrastinate_jobs CASCADE")


@pytest.fixture
def alice_alone(alice, settings, monkeypatch):
    """One who asks; all that is done for her may freeze, and times are short."""
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": {"BACKEND": "tests.chat.run_processes.WaitingEngine"}}
    # All that runs is suspected; who is really dead is for the machine to say.
    settings.RUN_LEASE_SECONDS = 0.0
    settings.RUN_CONCURRENCY = CONCURRENCY
    settings.RUN_DELTA_FLUSH_MS, settings.JOURNAL_FLUSH_MS = 1, 5
    settings.GRACEFUL_SHUTDOWN_SECONDS = 0.05
    for module in (writer_module, runner_module, sweep_module):
        monkeypatch.setattr(module, "in_thread", gated)
    monkeypatch.setattr(runner_module, "STOP_POLL_SECONDS", 0.01)
    logging.disable(logging.CRITICAL)
    yield alice
    logging.disable(logging.NOTSET)


def test_whatever_happens_every_run_ends_once_and_its_readers_have_all_of_it(alice_alone):
    play(lambda: Machine(alice_alone), examples=12, steps=35)
