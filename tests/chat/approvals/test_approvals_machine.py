"""Approvals and what is done after them, played at random: deciders, expiry, stops, sweeps, and workers that freeze anywhere.

The stores are real, and so are the workers' runners, drivers and calls; they freeze before or after any of their
transactions and in the middle of a tool. One that never wakes up is a process that was killed.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from procrastinate.contrib.django.models import ProcrastinateJob

from chat import runner as runner_module
from chat import sweep as sweep_module
from chat.approvals import resuming
from chat.approvals.deciding import NOT_EDITED, Decision, decide, decide_batch, expire_due
from chat.approvals.waiting import escalate_due, remind_due
from chat.models import Application, Approval, Conversation, Run
from chat.services import answers, claiming
from chat.services.endings import CANCELLED
from chat.services.questions import message_stream
from chat.services.sweeping import DEAD
from events import journal
from events import writer as writer_module
from events.event import EVENT_TYPES, START
from events.exceptions import Conflict, Forbidden, Gone, InvalidRequest, NotFound, Unprocessable
from plugins.models import Execution
from plugins.tools import calling, claims
from plugins.tools.claims import Place
from plugins.tools.registry import Tool, register, unregister
from tests.chat.approvals.conftest import SCHEMA
from tests.chat.conftest import _person, ask, script
from tests.chat.freezing import CURRENT, FreezingMachine, Process, WorkerProcess, gated, points
from tests.machines import play

POINTS = points(claiming.claim, claims.claim, "tool", claims.settle, journal.commit, journal.end)
REFUSED = (Conflict, Forbidden, Gone, InvalidRequest, NotFound, Unprocessable)
WRONG_HASH = "0" * 64


@dataclass(eq=False, kw_only=True)
class Worker(WorkerProcess):
    """A worker with one run; it `polls` when another makes the call that this one waits for."""

    polls: bool = False

    async def call(self, function, *args, **kwargs):
        result = await super().call(function, *args, **kwargs)
        if function is claims.claim:
            self.polls = result.place is Place.ELSEWHERE
        return result

    @property
    def is_done(self):
        """Whether its run has ended, waits for people, or for another worker."""
        return self.polls or (super().is_done and not self.runner._driving)


@dataclass
class World:
    """What all examples share: people, an application and two tools that write down what was done, and by which call."""

    people: dict
    done: list = field(default_factory=list)
    amounts: int = 0

    async def pay(self, arguments, context):
        process = CURRENT.get()
        await process.reach("tool:before")
        self.done.append(arguments["amount"])
        await process.reach("tool:after")
        return {"paid": arguments["amount"]}

    def amount(self):
        """One that no other call has."""
        self.amounts += 1
        return self.amounts


@pytest.fixture
def world(organization, alice, bob, settings, monkeypatch):
    settings.APPROVAL_DECIDERS = ["requester"]
    settings.APPROVAL_ESCALATE_TO = ["user:user_carol"]
    settings.APPROVAL_ESCALATE_SECONDS = settings.APPROVAL_REMIND_SECONDS = settings.APPROVAL_EXPIRES_SECONDS = 3600.0
    settings.APPROVAL_RESUMES = 3
    settings.APPROVAL_MAIL = False
    # All that runs is suspected; who is really dead is for the machine to say.
    settings.RUN_LEASE_SECONDS = 0.0
    world = World({"alice": alice, "bob": bob, "carol": _person("carol")})
    tools = [
        Tool("pay", "Pays.", SCHEMA, world.pay, needs_approval=True, idempotent=False),
        Tool("book", "Books.", SCHEMA, world.pay, needs_approval=True, idempotent=True),
    ]
    for tool in tools:
        register(tool.name, lambda tool=tool: tool)
    Application.objects.create(public_id="app_pay", organization=organization, name="Pay", tools=["pay", "book"])
    for module in (calling, writer_module, runner_module, sweep_module):
        monkeypatch.setattr(module, "in_thread", gated)
    monkeypatch.setattr(calling, "POLL_SECONDS", 0.01)
    logging.disable(logging.CRITICAL)
    yield world
    logging.disable(logging.NOTSET)
    for tool in tools:
        unregister(tool.name)


class Machine(FreezingMachine):
    """What must hold whatever happens; see the invariants and `teardown`."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.runs = []
        self.settled = {}
        """What was decided of an approval: its row, from the first moment at which it was not open any more."""
        self.begun = {}
        """The calls of a run that has ended."""
        self.accepted = {}
        """The decisions that were not refused, by approval."""

    # What can be looked at.

    def approvals(self, **wanted):
        return list(Approval.objects.filter(run_id__in=self.runs, **wanted).order_by("created_at", "batch_id", "position"))

    def status(self, run):
        return Run.objects.get(pk=run).status

    def with_status(self, *statuses):
        found = set(Run.objects.filter(pk__in=self.runs, status__in=statuses).values_list("pk", flat=True))
        return [run for run in self.runs if run in found]

    # Workers.

    async def _start(self, run, freezes_at):
        worker = Worker(freezes_at=freezes_at)
        worker.start()
        worker.spawn(worker.runner._start(run))
        self.processes.append(worker)
        await self._calm()

    async def _calm(self):
        for worker in self.workers:
            worker.polls = False
        await super()._calm()

    @property
    def workers(self):
        return [each for each in self.processes if isinstance(each, Worker)]

    def start(self, run, freezes_at=None):
        self.wait(self._start(run, freezes_at))

    # What happens.

    @initialize(tools=st.lists(st.sampled_from(["pay", "book"]), min_size=1, max_size=2), again=st.booleans())
    def ask_first(self, tools, again):
        self.ask(tools, again)

    @precondition(lambda self: len(self.runs) < 3)
    @rule(tools=st.lists(st.sampled_from(["pay", "book"]), min_size=1, max_size=2), again=st.booleans())
    def ask(self, tools, again):
        calls = [
            {"tool_call": {"name": name, "call_id": f"c{n}", "arguments": {"to": "x", "amount": self.world.amount()}}}
            for n, name in enumerate(tools)
        ]
        more = {"tool_call": {"name": "pay", "call_id": "more", "arguments": {"to": "x", "amount": self.world.amount()}}}
        steps = [*calls, {"results": True}, {"text": "So: "}, {"result": 1}, *([more, {"results": True}] if again else [])]
        message = ask(self.world.people["alice"], script(*steps), application_id="app_pay")
        self.runs.append(message.pk)
        self.start(message.pk)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 3), freezes_at=st.none() | st.sampled_from(POINTS))
    def deliver_the_job(self, which, freezes_at):
        """To a new worker: the first time, or once more."""
        waiting = self.with_status(Run.Status.QUEUED) or self.runs
        self.start(waiting[which % len(waiting)], freezes_at)

    @precondition(lambda self: self.approvals(status="pending"))
    @rule(which=st.integers(0, 3))
    def stop_one_that_waits(self, which):
        waiting = self.with_status("awaiting_approval")
        if which == 0 and waiting:
            answers.stop(caller=self.world.people["alice"], message_id=waiting[0])

    @precondition(lambda self: self.approvals())
    @rule(
        which=st.integers(0, 7),
        who=st.sampled_from(["alice", "alice", "alice", "bob", "carol"]),
        approved=st.booleans(),
        change=st.sampled_from(["", "", "", "edited", "misfit", "hash"]),
        way=st.sampled_from(["one", "one", "batch", "stream"]),
    )
    def decide(self, which, who, approved, change, way):
        found = self.approvals()
        approval = found[which % len(found)]
        edited = {"edited": {"to": "y", "amount": self.world.amount()}, "misfit": {"to": 1}}.get(change, NOT_EDITED)
        decision = Decision(approved, edited=edited, payload_sha256=WRONG_HASH if change == "hash" else "")
        may = who == "alice" or f"user:user_{who}" in approval.deciders
        right = may and change not in ("misfit", "hash") and (approved or change == "")
        is_open = approval.status == "pending" and approval.expires_at > timezone.now()
        try:
            decided = self._decide(way, self.world.people[who], approval, decision)
        except REFUSED:
            assert not (right and is_open and way != "stream"), (who, decision, approval.deciders)
            return
        assert right
        for each in decided:
            assert is_open or (approval.status, approval.edited_payload) == (decision.status, decision.edited_payload)
            self.accepted.setdefault(each.pk, (each.status, each.edited_payload))

    @precondition(lambda self: self.approvals(status="pending"))
    @rule(which=st.integers(0, 3), denied=st.integers(0, 5), freezes_at=st.none() | st.sampled_from(POINTS))
    def decide_all_and_go_on(self, which, denied, freezes_at):
        """Of one batch, perhaps but for one approved; then a worker takes the job, and freezes somewhere."""
        found = self.approvals(status="pending")
        batch = [each for each in found if each.batch_id == found[which % len(found)].batch_id]
        for each in batch:
            if each.expires_at > timezone.now():
                decision = Decision(approved=each.position != denied)
                decide(caller=self.world.people["alice"], approval_id=each.pk, decision=decision)
                self.accepted[each.pk] = (decision.status, None)
        expire_due()
        self.start(batch[0].run_id, freezes_at)

    @precondition(lambda self: any(each.frozen for each in self.processes))
    @rule(leases_too=st.booleans(), freezes_at=st.none() | st.sampled_from(POINTS))
    def the_sleeper_is_taken_for_dead_and_followed(self, leases_too, freezes_at):
        if leases_too:
            self.leases_of_calls_run_out()
        self.sweep()
        for run in self.with_status(Run.Status.QUEUED):
            self.start(run, freezes_at)

    def _decide(self, way, caller, approval, decision):
        if way == "one":
            return [decide(caller=caller, approval_id=approval.pk, decision=decision)]
        if way == "batch":
            return decide_batch(caller=caller, batch_id=approval.batch_id, decisions={approval.pk: decision})
        conversation = approval.run.message.conversation_id
        resuming.resume(caller=caller, conversation_id=conversation, actions={approval.subject: decision})
        return list(Approval.objects.filter(batch_id=approval.batch_id))

    @precondition(lambda self: self.approvals(status="pending"))
    @rule(all_of_it=st.booleans())
    def expire(self, all_of_it):
        """Time passes; who looks for what is late may not have come yet."""
        late = self.approvals(status="pending")[: 9 if all_of_it else 1]
        Approval.objects.filter(pk__in=[each.pk for each in late]).update(expires_at=timezone.now() - timedelta(seconds=1))

    @rule()
    def look_for_what_is_late(self):
        expire_due()

    @precondition(lambda self: self.approvals(status="pending"))
    @rule()
    def escalate(self):
        now = timezone.now()
        Approval.objects.filter(run_id__in=self.runs, escalates_at__isnull=False).update(escalates_at=now, reminds_at=now)
        remind_due()
        escalate_due()

    @precondition(lambda self: len(self.with_status("queued", "running")))
    @rule(which=st.integers(0, 3))
    def stop(self, which):
        going = self.with_status("queued", "running")
        run = going[which % len(going)]
        answers.stop(caller=self.world.people["alice"], message_id=run)
        self.wait(self._interrupt(run))

    async def _interrupt(self, run):
        for worker in self.workers:
            if not worker.frozen and run in worker.runner._drivers:
                worker.runner._drivers[run].interrupt(CANCELLED)
        await self._calm()

    @precondition(lambda self: any(each.frozen for each in self.processes))
    @rule()
    def leases_of_calls_run_out(self):
        Execution.objects.filter(held_until__isnull=False).update(held_until=timezone.now() - timedelta(minutes=1))
        self.wait(self._calm())

    @precondition(lambda self: any(each.frozen for each in self.processes))
    @rule()
    def end_silent_calls(self):
        claims.end_silent()
        self.wait(self._calm())

    @precondition(lambda self: any(each.frozen for each in self.processes))
    @rule()
    def sweep(self):
        self.wait(self._sweep(Process()))

    # What must hold.

    @invariant()
    def nothing_is_done_that_was_not_approved_and_nothing_twice(self):
        rows = self.approvals()
        by_amount = {(each.payload if each.edited_payload is None else each.edited_payload)["amount"]: each for each in rows}
        mine = {each.payload["amount"] for each in rows} | set(by_amount)
        for amount, times in Counter(each for each in self.world.done if each in mine).items():
            assert amount in by_amount, "the payload was done, but something else was approved"
            approval = by_amount[amount]
            assert approval.status == "approved", f"done, and {approval.status}"
            assert times == 1 or approval.title == "book", f"{approval.title} was done {times} times"

    @invariant()
    def no_call_is_begun_for_a_run_that_has_ended(self):
        for run in self.with_status("completed", "failed", "cancelled"):
            begun = set(Execution.objects.filter(run_id=str(run)).values_list("pk", flat=True))
            assert self.begun.setdefault(run, begun) == begun

    @invariant()
    def a_decision_stands(self):
        for each in self.approvals():
            now = SimpleNamespace(status=each.status, edited=each.edited_payload, by=each.decided_by_id, at=each.decided_at)
            if each.status != "pending":
                assert self.settled.setdefault(each.pk, now) == now
            if each.pk in self.accepted:
                assert self.accepted[each.pk] == (each.status, each.edited_payload)

    @invariant()
    def every_run_ends_once_and_none_is_forgotten(self):
        for run in Run.objects.filter(pk__in=self.runs):
            events = journal.read(message_stream(run.pk), START)
            terminal = [number for number, event in enumerate(events) if EVENT_TYPES[event.type].terminal]
            assert terminal == ([] if run.status in Run.OPEN else [len(events) - 1])
            open_ = run.approvals.filter(status="pending").count()
            if run.status == Run.Status.AWAITING_APPROVAL:
                assert open_, "it waits, and nobody is asked"
            else:
                assert not open_, f"{run.status}, and somebody is asked"
            if run.status == Run.Status.QUEUED:
                assert ProcrastinateJob.objects.filter(args__message_id=str(run.pk)).exists()
            elif run.status == Run.Status.RUNNING:
                names = {each.runner.name for each in self.workers if not each.is_calm or each.frozen or each.polls}
                assert run.worker.removesuffix(DEAD) in names, "it runs, and nobody drives it"

    def teardown(self):
        """Whoever sleeps is killed: with leases running out and new workers every run comes to its end, or waits for people."""
        try:
            for process in self.processes:
                process.killed = process.killed or process.frozen
            for _ in range(12):
                left = self.with_status(Run.Status.QUEUED, Run.Status.RUNNING)
                if not left:
                    break
                self.leases_of_calls_run_out()
                self.sweep()
                for run in left:
                    self.start(run)
            assert not self.with_status(Run.Status.QUEUED, Run.Status.RUNNING), "a run hangs"
            for check in (
                self.nothing_is_done_that_was_not_approved_and_nothing_twice,
                self.no_call_is_begun_for_a_run_that_has_ended,
                self.a_decision_stands,
                self.every_run_ends_once_and_none_is_forgotten,
            ):
                check()
        finally:
            self.close()
            # The next example begins with nothing.
            Conversation.objects.all().delete()
            Execution.objects.all().delete()


def test_whatever_happens_nothing_is_done_twice_and_no_run_hangs(world):
    play(lambda: Machine(world), examples=5, steps=20)
