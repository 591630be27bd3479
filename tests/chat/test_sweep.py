"""Ending the runs of dead workers, and never of living ones."""

import asyncio
import time
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from accounts.threads import in_thread
from chat.models import Run, Worker
from chat.services import claiming, runs, workers
from chat.services.questions import message_stream
from chat.sweep import Sweep, lease_name
from events import journal
from events.broker.base import Appended, DurableAppend
from events.broker.redis import RedisBroker
from events.event import START, Event, EventId
from tests.chat.conftest import asked, journaled, run_of, texts, types
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("stores")

WORKER = "host-1-abc"


@pytest.fixture
def steady(broker):
    """A sweep that has reached both stores for long enough."""
    sweep = Sweep(broker=broker)
    sweep._steady_since = time.monotonic() - 1000
    return sweep


async def claimed(caller, *, seconds_ago=1000.0, said=""):
    """A run that WORKER claimed so long ago, and of which the broker alone has the text `said`."""
    message = await asked(caller, {"hang": True})
    claim = await in_thread(claiming.claim, message_id=message.pk, worker=WORKER)

    def age():
        Run.objects.filter(pk=message.pk).update(started_at=timezone.now() - timedelta(seconds=seconds_ago))

    await in_thread(age)
    if said:
        await say(claim, said)
    return message


async def say(claim, text):
    from events.broker.connect import connect
    from events.writer import drain

    broker, stream = connect(), message_stream(claim.message_id)
    await drain(broker, stream=stream, lease=claim.lease)
    events = [
        Event(EventId(2, 0), "text.start", {"block": 1}, 1),
        Event(EventId(3, 0), "text.delta", {"block": 1, "text": text}, 1),
    ]
    assert await broker.append_durable([DurableAppend(stream, claim.lease, events)]) == [Appended.OK]
    await broker.close()


async def status(message):
    return (await in_thread(run_of, message)).status


async def test_a_dead_workers_run_ends_with_all_the_text_it_had_appended(steady, alice, broker):
    message = await claimed(alice, said="so far")
    await steady.sweep()
    run = await in_thread(run_of, message)
    assert (run.status, run.error_code, run.retryable) == ("failed", "producer_stale", True)
    assert run.message.text == "so far"
    events = await in_thread(journaled, message)
    assert types(events) == ["run.started", "text.start", "text.delta", "text.end", "run.failed"]
    assert texts(events) == "so far"
    hot = (await broker.read([(message_stream(message.pk), START)], limit=100))[0].events
    assert types(hot) == types(events)
    assert run.head == events[-1].id.major


async def test_the_dead_workers_late_words_are_refused(steady, alice, broker):
    message = await claimed(alice, said="so far")
    await steady.sweep()
    late = Event(EventId(4, 0), "text.delta", {"block": 1, "text": "late"}, 1)
    stream = message_stream(message.pk)
    assert await broker.append_durable([DurableAppend(stream, 1, [late])]) == [Appended.STALE]
    assert await in_thread(journal.append, [(stream, 1, [late])]) == [False]


async def test_a_run_that_was_to_be_stopped_ends_as_cancelled(steady, alice):
    message = await claimed(alice)
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    await steady.sweep()
    assert await status(message) == "cancelled"


async def test_a_sign_of_life_in_the_broker_alone_keeps_a_run(steady, alice, broker):
    message = await claimed(alice)
    await broker.touch(lease_name(WORKER), seconds=30)
    await steady.sweep()
    assert await status(message) == "running"


async def test_a_sign_of_life_in_the_database_alone_keeps_a_run(steady, alice):
    message = await claimed(alice)
    await in_thread(workers.beat, worker=WORKER)
    await steady.sweep()
    assert await status(message) == "running"


async def test_silence_shorter_than_two_thirds_of_the_lease_keeps_a_run(steady, alice, settings):
    settings.RUN_LEASE_SECONDS = 30
    young, old = await claimed(alice, seconds_ago=15), await claimed(alice, seconds_ago=25)
    await steady.sweep()
    assert (await status(young), await status(old)) == ("running", "failed")


async def test_a_sweep_trusts_its_eyes_only_after_a_while(alice, broker, settings):
    settings.RUN_LEASE_SECONDS = 1.0
    message = await claimed(alice)
    sweep = Sweep(broker=broker)
    began = time.monotonic()
    await sweep.sweep()
    assert await status(message) == "running"
    async with asyncio.timeout(patiently(10)):
        while await status(message) == "running":
            await sweep.sweep()
    assert time.monotonic() - began >= 2 * settings.RUN_LEASE_SECONDS / 5


@pytest.fixture
async def away():
    """A broker that cannot be reached."""
    broker = RedisBroker("redis://127.0.0.1:1/0")
    yield broker
    await broker.close()


@pytest.fixture
def full(redis_url):
    """Has the broker refuse every write; called with False it takes them again."""
    with redis.Redis.from_url(redis_url) as client:
        yield lambda is_full=True: client.config_set("maxmemory", "1mb" if is_full else 0)
        client.config_set("maxmemory", 0)


async def test_with_the_broker_away_a_run_waits_for_the_grace_time(alice, away, settings):
    message = await claimed(alice)
    sweep = Sweep(broker=away)
    sweep._steady_since = time.monotonic() - 1000
    for _ in range(2):
        await sweep.sweep()
        assert await status(message) == "running"
        # It has to become steady anew.
        assert sweep._steady_since is None
    settings.RUN_DRAIN_GRACE_SECONDS = 0.0
    await sweep.sweep()
    assert await status(message) == "failed"


async def test_the_grace_time_of_a_run_does_not_begin_before_its_worker_is_silent(alice, away, settings):
    sweep = Sweep(broker=away)
    first = await claimed(alice)
    await sweep.sweep()
    second = await claimed(alice)
    settings.RUN_DRAIN_GRACE_SECONDS = time.monotonic() - sweep._waiting[first.pk]
    await sweep.sweep()
    assert (await status(first), await status(second)) == ("failed", "running")
    assert sweep._waiting.keys() == {first.pk, second.pk}
    await sweep.sweep()
    assert sweep._waiting.keys() == {second.pk}, "what has ended is forgotten"


async def test_a_run_ended_without_the_broker_keeps_what_was_journaled(alice, away, settings):
    settings.RUN_DRAIN_GRACE_SECONDS = 0.0
    message = await claimed(alice, said="so far")
    await Sweep(broker=away).sweep()
    run = await in_thread(run_of, message)
    assert (run.status, run.message.text) == ("failed", "")
    assert types(await in_thread(journaled, message)) == ["run.started", "run.failed"]


async def test_a_broker_that_answers_and_takes_no_writes_is_waited_for_as_well(steady, alice, full):
    message = await claimed(alice, said="so far")
    full()
    for _ in range(2):
        await steady.sweep()
        assert await status(message) == "running"
        steady._steady_since = time.monotonic() - 1000
    full(False)
    await steady.sweep()
    run = await in_thread(run_of, message)
    assert (run.status, run.message.text) == ("failed", "so far")
    assert types(await in_thread(journaled, message)) == ["run.started", "text.start", "text.delta", "text.end", "run.failed"]


async def test_a_broker_that_takes_no_writes_is_not_waited_for_for_ever(steady, alice, full, settings):
    settings.RUN_DRAIN_GRACE_SECONDS = 0.0
    message = await claimed(alice, said="so far")
    full()
    await steady.sweep()
    assert await status(message) == "failed"


async def test_many_sweeps_at_once_end_a_run_once(alice, broker):
    messages = [await claimed(alice, said="x") for _ in range(4)]
    sweeps = [Sweep(broker=broker) for _ in range(4)]
    for sweep in sweeps:
        sweep._steady_since = time.monotonic() - 1000
    await asyncio.gather(*(sweep.sweep() for sweep in sweeps))
    for message in messages:
        events = await in_thread(journaled, message)
        assert types(events).count("run.failed") == 1
        assert await status(message) == "failed"


async def test_a_worker_that_died_before_it_claimed_is_made_good(steady, alice):
    from procrastinate.contrib.django.models import ProcrastinateJob

    message = await asked(alice, {"text": "a"})

    def lose_the_job():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE procrastinate_jobs CASCADE")
        Run.objects.update(created_at=timezone.now() - timedelta(seconds=60))

    await in_thread(lose_the_job)
    await steady.sweep()
    assert await in_thread(lambda: list(ProcrastinateJob.objects.values_list("args__message_id", flat=True))) == [str(message.pk)]


async def test_a_sweep_that_cannot_reach_the_database_is_tried_again(alice, broker, monkeypatch):
    """`run_forever` survives whatever one sweep meets; here a column that is missing for a moment."""
    from django.db import connection

    from chat import sweep as module

    def rename(old, new):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE chat_run RENAME COLUMN {old} TO {new}")

    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.02)
    message = await claimed(alice)
    sweep = Sweep(broker=broker)
    sweep._steady_since = time.monotonic() - 1000
    await in_thread(rename, "worker", "laborer")
    task = asyncio.create_task(sweep.run_forever())
    async with asyncio.timeout(patiently(10)):
        while sweep._steady_since is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await in_thread(rename, "laborer", "worker")
    sweep._steady_since = time.monotonic() - 1000
    async with asyncio.timeout(patiently(10)):
        while await status(message) == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    assert not await in_thread(Worker.objects.exists)
