"""A worker's runner: what it claims, hands back, disowns, and stops."""

import asyncio
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.threads import in_thread
from chat.metrics import DRIVEN
from chat.models import Run, Worker
from chat.runner import Runner, current_runner, use_runner
from chat.services import claiming, runs
from chat.services.questions import message_stream
from events import journal
from events.event import Event, EventId
from tests.chat.conftest import answered, asked, ended, journaled, run_of, texts, types, until
from tests.chat.raw_engine import ALIAS, FAILURE, RawEngine
from tests.patience import patiently
from tests.proxies import Proxy, through

pytestmark = pytest.mark.usefixtures("stores")

HANG = {"hang": True}


def jobs():
    return list(ProcrastinateJob.objects.filter(status="todo").values_list("args__message_id", flat=True))


async def speaking(runner, caller, *steps):
    """An answer that has said `so far` and hangs."""
    message = await asked(caller, {"text": "so far"}, *(steps or (HANG,)))
    await runner.answer(message.pk)
    await until(lambda: texts(journaled(message)).startswith("so far"))
    return message


async def test_a_job_that_is_delivered_twice_is_driven_once(runner, alice):
    other = Runner()
    await other.start()
    message = await asked(alice, {"tokens": 5})
    await asyncio.gather(runner.answer(message.pk), other.answer(message.pk), runner.answer(message.pk))
    await ended(message)
    assert texts(await in_thread(journaled, message)) == "w0 w1 w2 w3 w4 "
    await runner.answer(message.pk)
    assert (await in_thread(run_of, message)).lease == 1
    await other.close()


async def test_no_more_runs_at_once_than_allowed(stores, alice, settings):
    settings.RUN_CONCURRENCY = 1
    runner = Runner()
    await runner.start()
    first, second = await asked(alice, {"text": "1"}, HANG), await asked(alice, {"text": "2"})
    await runner.answer(first.pk)
    waiting = asyncio.create_task(runner.answer(second.pk))
    await until(lambda: texts(journaled(first)) == "1")
    assert (await in_thread(run_of, second)).status == Run.Status.QUEUED
    assert not waiting.done()
    await in_thread(runs.request_stop, caller=alice, message_id=first.pk)
    await waiting
    assert (await ended(second)).status == Run.Status.COMPLETED
    await runner.close()


async def test_how_many_runs_it_drives_is_told(runner, alice):
    message = await speaking(runner, alice)
    assert DRIVEN._value.get() == 1
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    await ended(message)
    async with asyncio.timeout(5):
        while DRIVEN._value.get():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_stopping_worker_hands_back_what_has_not_begun(runner, alice):
    silent = await asked(alice, HANG)
    await in_thread(ProcrastinateJob.objects.all)
    await runner.answer(silent.pk)
    async with asyncio.timeout(10):
        while silent.pk not in runner._drivers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    before = len(await in_thread(jobs))
    await runner.close()
    run = await in_thread(run_of, silent)
    assert (run.status, run.worker) == (Run.Status.QUEUED, "")
    assert len(await in_thread(jobs)) == before + 1
    assert types(await in_thread(journaled, silent)) == ["run.started"]
    assert not await in_thread(Worker.objects.exists)


async def test_what_was_handed_back_is_answered_by_another_worker(runner, alice, settings):
    message = await asked(alice, {"text": "a"})
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": {"BACKEND": "tests.chat.raw_engine.RawEngine"}}
    from tests.chat.raw_engine import RawEngine

    RawEngine.parts = [asyncio.Event()]
    await runner.answer(message.pk)
    await until(lambda: RawEngine.streaming == 1)
    await runner.close()
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": {"BACKEND": "chat.engines.scripted.ScriptedEngine"}}
    other = Runner()
    await other.start()
    run, events = await answered(other, message)
    assert (run.status, run.lease, run.message.text) == ("completed", 2, "a")
    assert [event.id.major for event in events] == [1, 2, 3, 4, 5]
    await other.close()


async def test_a_stopping_worker_hands_back_the_rest_when_one_ends_meanwhile(runner, alice, settings, monkeypatch):
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": ALIAS}
    fails = asyncio.Event()
    RawEngine.parts = [fails, FAILURE]
    messages = [await asked(alice), await asked(alice)]
    for message in messages:
        await runner.answer(message.pk)
    await until(lambda: RawEngine.streaming == 2)
    _, other = runner._drivers

    async def slowly(function, *args, **kwargs):
        if function is claiming.hand_back:
            fails.set()
            async with asyncio.timeout(patiently(20)):
                while other in runner._driving:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        return await in_thread(function, *args, **kwargs)

    monkeypatch.setattr("chat.runner.in_thread", slowly)
    await runner.close()
    assert {(await in_thread(run_of, each)).status for each in messages} == {"queued", "failed"}
    assert not await in_thread(Worker.objects.exists), "it has stopped to the end"


async def test_a_stopping_worker_lets_answers_end_and_ends_those_that_do_not(runner, alice, settings):
    settings.GRACEFUL_SHUTDOWN_SECONDS = 0.6
    slow = await speaking(runner, alice, {"pause": 0.3}, {"text": ", and more"})
    endless = await speaking(runner, alice)
    await runner.close()
    run = await in_thread(run_of, slow)
    assert (run.status, run.message.text) == ("completed", "so far, and more")
    run = await in_thread(run_of, endless)
    assert (run.status, run.error_code, run.retryable, run.message.text) == ("failed", "worker_stopped", True, "so far")


async def test_a_stopping_worker_claims_nothing(runner, alice):
    message = await asked(alice, {"text": "a"})
    runner.closing = True
    await runner.answer(message.pk)
    assert (await in_thread(run_of, message)).status == Run.Status.QUEUED
    runner.closing = False


async def test_a_worker_that_was_taken_over_stops_and_appends_nothing_more(runner, alice):
    message = await speaking(runner, alice, {"tokens": 2000, "per_second": 200})
    stream = message_stream(message.pk)
    lease = await in_thread(journal.take_lease, stream=stream)
    async with asyncio.timeout(10):
        while runner._driving:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    events = await in_thread(journaled, message)
    run = await in_thread(run_of, message)
    assert run.status == Run.Status.RUNNING, "its new owner ends it"
    last = Event(EventId(events[-1].id.major + 1, 0), "run.cancelled", {"conversation_id": "c"}, 0)
    await in_thread(journal.end, stream=stream, lease=lease, events=[last])
    assert types(await in_thread(journaled, message))[-1] == "run.cancelled"


async def test_a_run_that_cannot_be_driven_is_left_to_the_sweep(stores, alice):
    message = await asked(alice, {"text": "a"})
    claim = await in_thread(claiming.claim, message_id=message.pk, worker="w")
    await in_thread(claiming.disown, claim=claim)
    assert (await in_thread(run_of, message)).worker == ""
    stale = claiming.Claim(claim.message_id, claim.conversation_id, claim.lease - 1, claim.engine, claim.request)
    await in_thread(Run.objects.update, worker="other")
    await in_thread(claiming.disown, claim=stale)
    assert (await in_thread(run_of, message)).worker == "other"


async def test_a_claim_of_which_the_worker_never_heard_is_left_to_the_sweep(stores, alice, settings, monkeypatch):
    settings.RUN_LEASE_SECONDS = 1.0
    claim = claiming.claim

    def claim_and_lose_the_answer(**given):
        claim(**given)
        raise OperationalError("the connection was lost during COMMIT")

    runner = Runner()
    await runner.start()
    other = await speaking(runner, alice)
    message = await asked(alice, HANG)
    monkeypatch.setattr(claiming, "claim", claim_and_lose_the_answer)
    with pytest.raises(OperationalError):
        await runner.answer(message.pk)
    run = await ended(message)
    assert (run.status, run.error_code) == ("failed", "producer_stale")
    assert (await in_thread(run_of, other)).status == "running", "one that it drives is not disowned"
    await runner.close()


async def test_a_run_of_a_broker_that_is_away_begins_when_it_is_back(stores, alice, settings, redis_url):
    parts = urlsplit(redis_url)
    with Proxy(parts.hostname, parts.port) as proxy:
        settings.REDIS_URL = through(proxy, redis_url)
        runner = Runner()
        await runner.start()
        proxy.cut()
        message = await asked(alice, {"text": "a"})
        await runner.answer(message.pk)
        assert (await in_thread(run_of, message)).status == Run.Status.RUNNING
        proxy.restore()
        run = await ended(message)
        assert (run.status, run.message.text) == ("completed", "a")
        await runner.close()


def test_a_process_without_a_runner_says_what_drives_answers():
    use_runner(None)
    with pytest.raises(RuntimeError, match="procrastinate worker"):
        current_runner()


async def test_a_runner_says_that_it_lives(runner, settings):
    worker = await in_thread(Worker.objects.get)
    assert worker.name == runner.name
    settings.RUN_LEASE_SECONDS = 0.5
    other = Runner()
    await other.start()

    def beats():
        row = Worker.objects.get(name=other.name)
        return row.beat_at > row.started_at

    await until(beats)
    await other.close()
