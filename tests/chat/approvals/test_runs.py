"""A run that asks: it waits in the database, is decided about, and goes on - with any worker, once."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from django.db import OperationalError

from accounts.threads import in_thread
from chat.approvals import streaming
from chat.approvals.deciding import Decision, decide
from chat.approvals.deciding import decide_batch as decide_together
from chat.engines.base import ToolCall
from chat.models import Approval, Run
from chat.runner import Runner
from chat.services import answers, claiming, sweeping
from chat.services.endings import CANCELLED
from chat.services.questions import message_stream
from chat.sweep import end_run
from chat.tools import toolbox_of
from events import journal
from events.event import START
from events.exceptions import Conflict, LeaseLost, NotFound
from events.feed import KEEPALIVE, Feed
from events.hub import current_hub
from plugins.tools.calling import call
from tests.chat.approvals.conftest import PAY, feed_of, pay, waiting
from tests.chat.conftest import answered, asked, ended, journaled, run_of, types, until

YES, NO = Decision(approved=True), Decision(approved=False)


async def decided(caller, approval, decision=YES):
    return await in_thread(decide, caller=caller, approval_id=approval.pk, decision=decision)


async def finished(runner, message):
    """The run, driven to its end by this runner, and its journal."""
    await runner.answer(message.pk)
    return await ended(message), await in_thread(journaled, message)


async def test_a_run_that_asks_is_let_go_of_and_nothing_waits_in_memory(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice)
    await until(lambda: not runner._driving)
    run = await in_thread(run_of, message)
    assert (run.status, run.worker, run.ended_at) == ("awaiting_approval", "", None)
    assert (approval.kind, approval.subject, approval.title, approval.payload) == ("tool_call", "call_1", "pay", PAY)
    assert (approval.status, approval.batch_total, approval.deciders) == ("pending", 1, ["participants"])
    assert counting.paid == []
    events = await in_thread(journaled, message)
    assert types(events) == ["run.started", "tool.call", "approval.requested"]
    (told,) = events[-1].data["approvals"]
    assert told["payload"] == PAY
    assert told["payload_sha256"] == approval.payload_sha256


async def test_an_approval_lets_another_worker_go_on_and_the_call_is_made_once(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice)
    assert (await decided(alice, approval)).status == "approved"
    assert (await in_thread(run_of, message)).status == "queued"
    other = Runner()
    await other.start()
    try:
        run, events = await finished(other, message)
    finally:
        await other.close()
    assert counting.paid == [PAY]
    assert run.message.text == 'Result: {"paid":5}'
    assert types(events) == [
        *("run.started", "tool.call", "approval.requested", "approval.decided", "tool.result"),
        *("text.start", "text.delta", "text.end", "run.completed"),
    ]
    assert [event.id.major for event in events][:5] == [1, 2, 3, 4, 5]
    (call,) = run.message.tool_calls
    assert (call["status"], call["content"], call["approval_id"]) == ("completed", {"paid": 5}, str(approval.pk))
    assert run.continuation is None


async def test_a_denial_is_an_answer_to_the_model_with_its_comment(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval, Decision(approved=False, feedback="Too much."))
    run, _events = await finished(runner, message)
    assert counting.paid == []
    assert run.status == "completed"
    assert "A human denied this call" in run.message.text
    assert "Too much." in run.message.text
    assert run.message.tool_calls[0]["status"] == "denied"


async def test_a_call_that_was_edited_is_made_as_it_was_edited(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval, Decision(approved=True, edited={"to": "bob", "amount": 2}))
    await finished(runner, message)
    assert counting.paid == [{"to": "bob", "amount": 2}]


async def test_the_run_goes_on_only_when_all_of_the_batch_is_decided(runner, alice, application, counting):
    message, approvals = await waiting(
        runner,
        alice,
        pay("a", amount=1),
        {"tool_call": {"name": "look", "call_id": "free"}},
        pay("b", amount=2),
        {"results": True},
        *({"result": number} for number in (1, 2, 3)),
    )
    assert [each.subject for each in approvals] == ["a", "b"]
    assert counting.looked == 1
    await decided(alice, approvals[1], NO)
    assert (await in_thread(run_of, message)).status == "awaiting_approval"
    await decided(alice, approvals[0])
    run, events = await finished(runner, message)
    assert counting.paid == [{"to": "bob", "amount": 1}]
    assert counting.looked == 1
    assert run.message.text.startswith('{"paid":1}seen{"error":"A human denied')
    assert [event.data["subject"] for event in events if event.type == "approval.decided"] == ["b", "a"]


async def test_a_run_may_ask_again_and_again(runner, alice, application, counting):
    message, (first,) = await waiting(
        runner, alice, {"text": "one"}, pay("c"), {"results": True}, {"text": "two"}, pay("c"), {"results": True}, {"result": 1}
    )
    await decided(alice, first)
    await runner.answer(message.pk)
    await until(lambda: run_of(message).status == "awaiting_approval")
    second = await in_thread(lambda: Approval.objects.get(run_id=message.pk, status="pending"))
    assert second.subject == "c-2"
    await decided(alice, second, NO)
    run, _ = await finished(runner, message)
    assert counting.paid == [PAY]
    assert run.message.text.startswith('one\n\ntwo\n\n{"error":"A human denied')


async def test_a_call_that_cannot_be_made_asks_nobody(runner, alice, application, counting):
    message = await asked(alice, pay(amount=0), {"results": True}, {"result": 1}, application_id="app_pay")
    run, _ = await answered(runner, message)
    assert "less than the minimum" in run.message.text
    assert not await in_thread(Approval.objects.exists)


async def test_a_stop_cancels_what_is_open_and_ends_the_answer(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice)
    assert await in_thread(answers.stop, caller=alice, message_id=message.pk) == "cancelled"
    await in_thread(approval.refresh_from_db)
    assert approval.status == "cancelled"
    assert types(await in_thread(journaled, message))[-1] == "run.cancelled"


async def test_a_stop_that_comes_as_the_run_begins_to_wait_is_not_forgotten(runner, alice, application, counting, monkeypatch):
    message = await asked(alice, pay(), {"results": True}, application_id="app_pay")
    # The worker has not looked for stops when the run begins to wait.
    monkeypatch.setattr("chat.runner.STOP_POLL_SECONDS", 3600)
    await in_thread(lambda: Run.objects.filter(pk=message.pk).update(stop_requested_at="2026-01-01T00:00Z"))
    await runner.answer(message.pk)
    assert (await ended(message)).status == "cancelled"
    assert not await in_thread(Approval.objects.exists)


@asynccontextmanager
async def reading(message):
    """The types that a reader of the answer's stream sees, as they come, and its task."""
    seen = []

    async def read():
        async with Feed(hub=current_hub(), stream=message_stream(message.pk), cursor=START) as feed:
            while (batch := await feed.next()) is not None:
                if batch is not KEEPALIVE:
                    seen.extend(str(event.type) for event in batch.events)

    reader = asyncio.create_task(read())
    try:
        yield seen, reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def test_readers_stay_while_it_waits_and_see_the_decision_and_what_follows(runner, alice, application, hub_closed):
    message, (approval,) = await waiting(runner, alice)
    async with reading(message) as (seen, reader):
        await until(lambda: "approval.requested" in seen)
        await decided(alice, approval)
        await until(lambda: "approval.decided" in seen)
        assert not reader.done()
        await runner.answer(message.pk)
        async with asyncio.timeout(10):
            await reader
    assert seen[-1] == "run.completed"
    assert len(seen) == len(set(seen))


async def test_readers_see_a_decision_of_which_the_broker_was_never_told(
    runner, alice, application, hub_closed, monkeypatch, settings
):
    settings.EVENTS_SWEEP_SECONDS = 0.2

    async def dies(*_):
        """The process, between the commit and the broker."""

    monkeypatch.setattr(streaming, "_tell", dies)
    message, approvals = await waiting(runner, alice, pay("a"), pay("b"), {"results": True}, {"text": "end"})
    async with reading(message) as (seen, reader):
        await until(lambda: "approval.requested" in seen)
        await decided(alice, approvals[0])
        await until(lambda: seen.count("approval.decided") == 1)
        await decided(alice, approvals[1])
        await runner.answer(message.pk)
        async with asyncio.timeout(10):
            await reader
    assert seen == types(await in_thread(journaled, message))


async def test_a_worker_that_dies_between_decision_and_call_is_followed_by_another_that_makes_it(
    runner, alice, application, counting
):
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval)
    # Claimed by a worker that does nothing more.
    await in_thread(claiming.claim, message_id=message.pk, worker="dead")
    taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(message.pk, "dead"))
    assert await in_thread(sweeping.resume, taken=taken)
    run, _ = await finished(runner, message)
    assert counting.paid == [PAY]
    assert run.status == "completed"


async def test_a_worker_that_dies_after_the_call_is_followed_by_another_that_does_not_make_it_again(
    runner, alice, application, counting
):
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval)
    claim = await in_thread(claiming.claim, message_id=message.pk, worker="dead")
    result = await call(
        name="pay", arguments=PAY, caller=alice, run_id=str(message.pk), call_id="call_1", idempotency_key=str(approval.pk)
    )
    assert result.ok
    assert claim.decided["call_1"].status == "approved"
    taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(message.pk, "dead"))
    assert await in_thread(sweeping.resume, taken=taken)
    run, events = await finished(runner, message)
    assert counting.paid == [PAY]
    assert run.message.text == 'Result: {"paid":5}'
    assert types(events).count("tool.result") == 1


@pytest.mark.parametrize("given_away", [True, False], ids=["given to another worker", "ended"])
async def test_a_worker_that_wakes_up_too_late_makes_no_call(runner, alice, application, counting, given_away):
    """It slept between its claim and the call, and was taken for dead."""
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval)
    claim = await in_thread(claiming.claim, message_id=message.pk, worker="asleep")
    taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(message.pk, "asleep"))
    if given_away:
        assert await in_thread(sweeping.resume, taken=taken)
    else:
        await end_run(runner._broker, taken, CANCELLED)
    toolbox = await toolbox_of(message_id=message.pk, lease=claim.lease, names=("pay",), requested_by=alice.pk)
    with pytest.raises(LeaseLost):
        await toolbox.call(ToolCall("call_1", "pay", PAY), key=str(approval.pk))
    assert counting.paid == []
    run, _ = await finished(runner, message)
    assert (run.status, counting.paid) == (("completed", [PAY]) if given_away else ("cancelled", []))


async def test_a_request_that_was_written_although_nobody_heard_is_not_written_again(
    runner, alice, application, counting, monkeypatch, redis_url, broker
):
    commit, lost = journal.commit, []

    def commit_and_lose_the_answer(**given):
        commit(**given)
        if not lost:
            lost.append(given)
            raise OperationalError("the connection was lost during COMMIT")

    monkeypatch.setattr(journal, "commit", commit_and_lose_the_answer)
    message, approvals = await waiting(runner, alice)
    await until(lambda: not runner._driving)
    assert len(lost) == len(approvals) == 1
    assert types(await in_thread(journaled, message)) == ["run.started", "tool.call", "approval.requested"]
    hot = (await broker.read([(message_stream(message.pk), START)], limit=100))[0].events
    assert types(hot)[-1] == "approval.requested", "those who read need not wait for a sweep"
    assert len(feed_of(redis_url, alice, "tool.approval.required")) == 1
    await decided(alice, approvals[0])
    await finished(runner, message)
    assert counting.paid == [PAY]


async def test_a_run_is_not_given_to_workers_for_ever(runner, alice, application, settings):
    settings.APPROVAL_RESUMES = 2
    message, (approval,) = await waiting(runner, alice)
    await decided(alice, approval)
    resumed = []
    for _ in range(3):
        await in_thread(claiming.claim, message_id=message.pk, worker="dead")
        taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(message.pk, "dead"))
        resumed.append(await in_thread(sweeping.resume, taken=taken))
    assert resumed == [True, True, False]


async def test_a_worker_that_died_in_the_middle_of_words_after_an_approval_is_an_end(runner, alice, application, counting):
    message, (approval,) = await waiting(runner, alice, pay(), {"results": True}, {"text": "half"}, {"hang": True})
    await decided(alice, approval)
    await runner.answer(message.pk)
    await until(lambda: "text.delta" in types(journaled(message)))
    (driving,) = runner._driving.values()
    # It loses its lease to the sweep, as when it seems dead.
    worker = (await in_thread(run_of, message)).worker
    taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(message.pk, worker))
    assert await in_thread(sweeping.resume, taken=taken)
    driving.cancel()
    await asyncio.wait([driving])
    run, _events = await finished(runner, message)
    assert (run.status, run.error_code, run.retryable) == ("failed", "producer_stale", True)
    assert run.message.text == "half"
    assert counting.paid == [PAY]


async def test_a_batch_is_decided_together_or_not_at_all(runner, alice, bob, application, counting):
    message, approvals = await waiting(runner, alice, pay("a"), pay("b"), {"results": True}, also=[bob])
    batch = approvals[0].batch_id
    await decided(bob, approvals[1], NO)
    with pytest.raises(Conflict, match="denied by bob"):
        await in_thread(decide_together, caller=alice, batch_id=batch, decisions={each.pk: YES for each in approvals})
    await in_thread(approvals[0].refresh_from_db)
    assert approvals[0].status == "pending"
    _other, (foreign,) = await waiting(runner, alice)
    with pytest.raises(NotFound):
        await in_thread(decide_together, caller=alice, batch_id=batch, decisions={foreign.pk: YES})
    done = await in_thread(decide_together, caller=alice, batch_id=batch, decisions={approvals[0].pk: YES, approvals[1].pk: NO})
    assert [each.status for each in done] == ["approved", "denied"]
    assert (await in_thread(run_of, message)).status == "queued"
