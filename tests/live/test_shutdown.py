"""SIGTERM: streams end between two events, answers are finished, ended or handed back."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

from tests.live.conftest import Client, measured, words
from tests.live.processes import LEASE_SECONDS, Stack, eventually
from tests.live.readers import RawReader, Reader, Seen, check_answer
from tests.live.test_stop import ask_provider
from tests.patience import patiently
from tests.providers import StubProvider

GRACE_SECONDS = 3.0
"""GRACEFUL_SHUTDOWN_SECONDS of the stack."""


def some_words(seen: Seen) -> bool:
    return len(seen.text) > 60


def is_over(seen: Seen) -> bool:
    return seen.over


async def exited(child, *, within: float) -> float:
    """When it ended; it must do so by itself."""
    await eventually(lambda: child.exit_code is not None, within=within, what=f"{child.name} to end")
    return time.monotonic()


async def test_a_stopping_web_process_ends_its_streams_between_two_events(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 240, "per_second": 40}])
    path = f"/api/messages/{message_id}/events"
    raw = RawReader(stack.addresses, path, alice.token)
    feed = Reader(stack.addresses, "/api/events", alice.token, is_last=lambda frame: False)
    async with AsyncExitStack() as opened:
        readers = [await opened.enter_async_context(alice.reader(message_id)) for _ in range(20)]
        await opened.enter_async_context(feed)
        connection = asyncio.create_task(raw.connect())
        await asyncio.gather(*(each.until(some_words, within=10) for each in (*readers, raw)))
        stack.webs[0].process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        await asyncio.wait_for(connection, 5)
        measured("SIGTERM to a web process -> its streams have ended", time.monotonic() - told)
        assert time.monotonic() - told < patiently(2)
        assert not raw.over
        assert raw.ended_cleanly
        gone = await exited(stack.webs[0], within=5)
        measured("SIGTERM to a web process -> it has ended", gone - told)
        await feed.until(lambda seen: seen.connections == 2, within=5)
        await asyncio.gather(*(each.until(is_over, within=15) for each in readers))
        await raw.connect()
    for each in (*readers, raw):
        check_answer(each, words(240))
    assert {each.connections for each in readers} == {2}
    assert max(each.longest_silence(told, told + 2) for each in readers) < 2


async def test_a_stopping_worker_finishes_what_it_can_and_says_what_it_cannot(stack: Stack, alice: Client):
    worker = stack.living_workers[0]
    short, long = await asyncio.gather(
        alice.ask([{"tokens": 90, "per_second": 45}]), alice.ask([{"tokens": 3000, "per_second": 50}])
    )
    async with alice.reader(short) as finished, alice.reader(long, at=1) as ended:
        await asyncio.gather(finished.until(some_words, within=10), ended.until(some_words, within=10))
        worker.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        await asyncio.gather(finished.until(is_over, within=10), ended.until(is_over, within=10))
        gone = await exited(worker, within=10)
    measured("SIGTERM to a worker -> long answer ended", ended.frames[-1].at - told)
    measured("SIGTERM to a worker -> it has ended", gone - told)
    assert gone - told < GRACE_SECONDS + 5
    assert ended.frames[-1].at - told >= GRACE_SECONDS * 0.8
    check_answer(finished, words(90))
    check_answer(ended, ended.text, last="error")
    assert (ended.last["code"], ended.last["retryable"]) == ("worker_stopped", True)
    assert (await alice.tail(long))["response"] == ended.text
    run = stack.run(long)
    assert (run["status"], run["retryable"]) == ("failed", True)


async def test_a_stopping_worker_hands_back_what_has_not_begun(stack: Stack, alice: Client, provider: StubProvider):
    worker = stack.living_workers[0]
    # The provider thinks for long, and the engine has said nothing yet.
    steps = [{"raw": ""}, {"pause": 6}, {"text": "at last"}, {"finish": "stop"}, {"done": True}]
    message_id = await ask_provider(alice, steps)
    await eventually(lambda: provider.asked, within=10, what="the provider to be asked")
    worker.process.send_signal(signal.SIGTERM)
    await exited(worker, within=GRACE_SECONDS + 5)
    assert stack.run(message_id)["status"] == "queued"
    assert provider.asked[0].closed is not None
    async with alice.reader(message_id) as reader:
        stack.start_worker()
        await reader.until(is_over, within=20)
    check_answer(reader, "at last")
    assert len(provider.asked) == 2


async def test_answers_that_waited_for_room_in_a_stopping_worker_are_written_by_the_next(stack: Stack, alice: Client):
    for worker in stack.living_workers:
        worker.kill()
    narrow = stack.start_worker(RUN_CONCURRENCY="1")
    first = await alice.ask([{"tokens": 3000, "per_second": 50}])
    async with alice.reader(first) as reader:
        await reader.until(some_words, within=15)
        waiting = [await alice.ask([{"tokens": 10}]) for _ in range(2)]
        taken = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"
        await eventually(lambda: stack.query(taken)[0][0] >= 1, within=10, what="a waiting job to be taken")
        narrow.process.send_signal(signal.SIGTERM)
        await reader.until(is_over, within=15)
    await exited(narrow, within=10)
    assert [stack.run(message_id)["status"] for message_id in waiting] == ["queued", "queued"]
    told = time.monotonic()
    stack.start_worker()
    for message_id in waiting:
        async with alice.reader(message_id) as reader:
            await reader.until(is_over, within=LEASE_SECONDS + 30)
        check_answer(reader, words(10))
    measured("answers that waited in a stopped worker -> answered", time.monotonic() - told)
    assert stack.run(first)["error_code"] == "worker_stopped"
