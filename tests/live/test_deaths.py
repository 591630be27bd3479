"""Processes that die or freeze in the middle of an answer."""

import asyncio
import time
from contextlib import AsyncExitStack

import psycopg

from tests.live.conftest import Client, measured, words
from tests.live.processes import LEASE_SECONDS, Stack, eventually, freeze, thaw
from tests.live.readers import Seen, check_answer
from tests.patience import patiently

TALK = [{"tokens": 2000, "per_second": 50}]


def some_words(seen: Seen) -> bool:
    return len(seen.text) > 100


async def test_a_killed_workers_answer_ends_within_the_lease_with_all_its_text(stack: Stack, alice: Client):
    message_id = await alice.ask(TALK)
    async with alice.reader(message_id) as reader, alice.reader(message_id, at=1) as other:
        await reader.until(some_words, within=10)
        stack.living_workers[0].kill()
        died = time.monotonic()
        await asyncio.gather(*(each.until(lambda seen: seen.over, within=LEASE_SECONDS + 5) for each in (reader, other)))
    took = reader.frames[-1].at - died
    measured("worker death -> terminal", took)
    assert took <= patiently(LEASE_SECONDS)
    assert (reader.last["code"], reader.last["retryable"]) == ("producer_stale", True)
    assert words(2000).startswith(reader.text)
    check_answer(reader, reader.text, last="error")
    check_answer(other, reader.text, last="error")
    assert (reader.connections, other.connections) == (1, 1)
    tail = await alice.tail(message_id)
    assert (tail["status"], tail["response"], tail["error"]["code"]) == ("failed", reader.text, "producer_stale")
    run = stack.run(message_id)
    assert (run["status"], run["retryable"]) == ("failed", True)
    kinds = [kind for _, kind, _ in stack.journal(message_id)]
    assert [kinds.count(kind) for kind in ("text.start", "text.end", "run.failed")] == [1, 1, 1]
    assert kinds[-1] == "run.failed"


async def test_a_frozen_worker_whose_answer_was_ended_cannot_append_when_it_goes_on(stack: Stack, alice: Client):
    message_id = await alice.ask(TALK)
    frozen = stack.living_workers[0]
    async with alice.reader(message_id) as reader:
        await reader.until(some_words, within=10)
        freeze(frozen)
        await reader.until(lambda seen: seen.over, within=LEASE_SECONDS + 5)
    assert reader.last["code"] == "producer_stale"
    journal, broker, run = stack.journal(message_id), stack.broker(message_id), stack.run(message_id)
    assert broker
    thaw(frozen)
    # It is awake again, with its old lease, when it has done something new.
    second = await alice.ask([{"text": "awake"}])
    async with alice.reader(second) as after:
        await after.until(lambda seen: seen.over, within=15)
    assert after.text == "awake"
    assert stack.journal(message_id) == journal
    assert stack.broker(message_id) == broker
    assert stack.run(message_id) == run
    assert [kind for _, kind, _ in journal if kind in ("run.failed", "run.completed", "run.cancelled")] == ["run.failed"]
    async with alice.reader(message_id, at=1) as late:
        await late.until(lambda seen: seen.over, within=5)
    check_answer(late, reader.text, last="error")


async def test_an_answer_nobody_claimed_before_the_worker_died_is_written_by_another(stack: Stack, alice: Client):
    for worker in stack.living_workers:
        worker.kill()
    message_id = await alice.ask([{"tokens": 10}])
    async with alice.reader(message_id, at=1) as reader:
        stack.start_worker()
        await reader.until(lambda seen: seen.over, within=20)
    check_answer(reader, words(10))


async def test_a_job_that_a_worker_took_and_died_with_before_claiming_the_run_is_done_by_another(stack: Stack, alice: Client):
    worker = stack.living_workers[0]
    # The run's row is locked: the worker takes the job and waits for the row, and dies there.
    freeze(worker)
    message_id = await alice.ask([{"tokens": 10}])
    with psycopg.connect(stack.postgres.url) as connection:
        connection.execute("SELECT 1 FROM chat_run WHERE message_id = %s FOR UPDATE", [message_id])
        thaw(worker)
        doing = "SELECT 1 FROM procrastinate_jobs WHERE args->>'message_id' = %s AND status = 'doing'"
        await eventually(lambda: stack.query(doing, message_id), within=10, what="the job to be taken")
        worker.kill()
    died = time.monotonic()
    # procrastinate's own sign of life comes every 10 s; a job counts as abandoned after three that are missing.
    stack.query("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '30 s'")
    stack.start_worker()
    async with alice.reader(message_id, at=1) as reader:
        await reader.until(lambda seen: seen.over, within=40)
    measured("death between job and claim -> answered", time.monotonic() - died)
    check_answer(reader, words(10))


async def test_a_killed_web_process_loses_nothing(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 200, "per_second": 50}])
    async with alice.reader(message_id) as reader, alice.reader(message_id, at=1) as other:
        await reader.until(some_words, within=10)
        stack.webs[0].kill()
        await asyncio.gather(*(each.until(lambda seen: seen.over, within=15) for each in (reader, other)))
    check_answer(reader, words(200))
    check_answer(other, words(200))
    assert (reader.connections, other.connections) == (2, 1)


async def test_the_other_workers_answers_go_on_when_one_dies(stack: Stack, alice: Client):
    second = stack.start_worker()
    named = f"SELECT count(*) FROM chat_worker WHERE beat_at > now() - interval '{LEASE_SECONDS / 2} s'"
    await eventually(lambda: stack.query(named)[0][0] >= 2, within=15, what="two living workers")
    ids = [await alice.ask([{"tokens": 400, "per_second": 50}]) for _ in range(6)]

    def claimed_by() -> list[str]:
        return [stack.run(message_id)["worker"] for message_id in ids]

    await eventually(lambda: all(claimed_by()), within=10, what="all runs to be claimed")
    died_with = [f"-{second.pid}-" in worker for worker in claimed_by()]
    async with AsyncExitStack() as open_readers:
        readers = [await open_readers.enter_async_context(alice.reader(message_id)) for message_id in ids]
        second.kill()
        await asyncio.gather(*(reader.until(lambda seen: seen.over, within=20) for reader in readers))
    assert not all(died_with)
    for reader, is_dead in zip(readers, died_with, strict=True):
        if is_dead:
            check_answer(reader, reader.text, last="error")
        else:
            check_answer(reader, words(400))
