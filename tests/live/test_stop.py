"""Stopping an answer: from anywhere, at any time, and never by leaving."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

from tests.live.conftest import Client, log_in, measured, words
from tests.live.processes import Stack
from tests.live.readers import Reader, Seen, check_answer
from tests.patience import patiently
from tests.providers import StubProvider

TALK = [{"tokens": 3000, "per_second": 50}]
WITHIN_SECONDS = 1.0


def some_words(seen: Seen) -> bool:
    return len(seen.text) > 60


def is_over(seen: Seen) -> bool:
    return seen.over


def check_cancelled(stack: Stack, message_id: str) -> None:
    """One terminal event, and a run that says so."""
    terminal = [kind for _, kind, _ in stack.journal(message_id) if kind in ("run.completed", "run.failed", "run.cancelled")]
    assert terminal == ["run.cancelled"]
    assert stack.run(message_id)["status"] == "cancelled"


async def ask_provider(client: Client, steps: list[dict]) -> str:
    """Asks the application whose engine is the stub provider."""
    return await client.ask(f"!provider {json.dumps(steps)}", application_id="app_demo")


async def test_a_stop_over_another_process_with_another_token_ends_it_within_a_second(stack: Stack, alice: Client):
    message_id = await alice.ask(TALK)
    elsewhere = Client(stack, log_in(stack, "alice"))
    assert elsewhere.token != alice.token
    async with alice.reader(message_id) as reader, elsewhere.reader(message_id, at=1) as other:
        await asyncio.gather(reader.until(some_words, within=10), other.until(some_words, within=10))
        asked = time.monotonic()
        response = await elsewhere.stop(message_id, at=1)
        await asyncio.gather(reader.until(is_over, within=5), other.until(is_over, within=5))
    assert response.status_code == 202
    took = reader.frames[-1].at - asked
    measured("stop -> terminal frame on another process", took)
    assert took < patiently(WITHIN_SECONDS)
    assert reader.last == {"type": "end", "cancelled": True}
    assert words(3000).startswith(reader.text)
    check_answer(reader, reader.text)
    check_answer(other, reader.text)
    tail = await alice.tail(message_id)
    assert (tail["status"], tail["response"], tail["error"]) == ("cancelled", reader.text, None)
    check_cancelled(stack, message_id)


async def test_a_stop_closes_the_upstream_connection_within_a_second(stack: Stack, alice: Client, provider: StubProvider):
    talks = await ask_provider(alice, [{"tokens": 3000, "per_second": 50}])
    hangs = await ask_provider(
        alice, [{"text": "Hello, and much more than that: this goes on, and on, and on, and on"}, {"hang": True}]
    )
    for number, message_id in enumerate((talks, hangs)):
        async with alice.reader(message_id) as reader:
            await reader.until(some_words, within=10)
            mine = next(n for n, each in enumerate(provider.asked) if ("hang" in str(each.body)) == bool(number))
            asked = time.monotonic()
            await alice.stop(message_id, at=1)
            record = await provider.closed(mine, within=5)
            await reader.until(is_over, within=5)
        assert record.closed is not None
        measured("stop -> upstream connection closed", record.closed - asked)
        assert record.closed - asked < WITHIN_SECONDS
        assert reader.last == {"type": "end", "cancelled": True}
        check_cancelled(stack, message_id)


async def test_leaving_never_stops_an_answer(stack: Stack, alice: Client, provider: StubProvider):
    message_id = await ask_provider(
        alice, [{"tokens": 60, "per_second": 30}, {"finish": "stop"}, {"usage": [3, 60]}, {"done": True}]
    )
    for _ in range(3):
        async with alice.reader(message_id) as reader:
            await reader.until(lambda seen: bool(seen.text), within=10)
    async with alice.reader(message_id, at=1) as reader:
        await reader.until(is_over, within=10)
    check_answer(reader, words(60))
    assert provider.asked[-1].closed is None


async def test_a_stop_ends_answers_that_no_worker_has_claimed(stack: Stack, alice: Client):
    for worker in stack.living_workers:
        worker.kill()
    ids = [await alice.ask(TALK) for _ in range(3)]
    async with AsyncExitStack() as opened:
        readers: list[Reader] = [await opened.enter_async_context(alice.reader(message_id, at=1)) for message_id in ids]
        await asyncio.gather(*(reader.until(lambda seen: bool(seen.frames), within=5) for reader in readers))
        asked = time.monotonic()
        for response in await asyncio.gather(*(alice.stop(message_id) for message_id in ids)):
            assert (response.status_code, response.json()["status"]) == (202, "cancelled")
        await asyncio.gather(*(reader.until(is_over, within=5) for reader in readers))
        measured("stop of a queued answer -> terminal frame", max(reader.frames[-1].at for reader in readers) - asked)
    stack.start_worker()
    # It takes the jobs of the stopped ones first, and does nothing about them.
    after = await alice.ask([{"tokens": 3}])
    async with alice.reader(after) as reader:
        await reader.until(is_over, within=15)
    for message_id, seen in zip(ids, readers, strict=True):
        assert (seen.text, seen.last) == ("", {"type": "end", "cancelled": True})
        check_cancelled(stack, message_id)


async def test_many_stops_at_once_and_after_the_end_make_one_terminal_event(stack: Stack, alice: Client):
    message_id = await alice.ask(TALK)
    async with alice.reader(message_id) as reader:
        await reader.until(some_words, within=10)
        stops = await asyncio.gather(*(alice.stop(message_id, at=number % 2) for number in range(8)))
        await reader.until(is_over, within=5)
    again = await alice.stop(message_id)
    assert {response.status_code for response in (*stops, again)} == {202}
    assert again.json()["status"] == "cancelled"
    check_cancelled(stack, message_id)


async def test_a_stop_after_a_complete_answer_changes_nothing(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 5}])
    async with alice.reader(message_id) as reader:
        await reader.until(is_over, within=10)
    before = stack.journal(message_id)
    response = await alice.stop(message_id)
    assert (response.status_code, response.json()["status"]) == (202, "completed")
    assert stack.journal(message_id) == before
    assert (await alice.tail(message_id))["status"] == "completed"


async def test_stops_that_race_with_the_end_leave_one_terminal_event(stack: Stack, alice: Client):
    async def race(delay: float) -> None:
        message_id = await alice.ask([{"tokens": 20, "per_second": 50}])
        await asyncio.sleep(delay)
        async with alice.reader(message_id) as reader:
            response = await alice.stop(message_id, at=1)
            assert response.status_code == 202
            await reader.until(is_over, within=10)
        check_answer(reader, reader.text)
        terminal = [kind for _, kind, _ in stack.journal(message_id) if kind in ("run.completed", "run.cancelled")]
        assert terminal == ["run.cancelled" if reader.last.get("cancelled") else "run.completed"]
        assert (await alice.tail(message_id))["response"] == reader.text

    await asyncio.gather(*(race(number * 0.04) for number in range(15)))
