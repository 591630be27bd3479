"""A whole server on NATS, beside other programs that speak to the same NATS. On NATS whatever EVENT_BROKER says."""

import asyncio
import json
import time
from collections.abc import Iterator

import nats
import nats.errors
import pytest

from tests.live.conftest import USERS, Client, log_in, words
from tests.live.processes import KEEPALIVE_SECONDS, Stack, eventually
from tests.live.readers import Reader, Seen, check_answer
from tests.patience import patiently
from tests.wiping import wipe_nats

FEED = "/api/topics?topic=events.org_demo.crm.record.*.*"


@pytest.fixture(scope="module")
def session_stack() -> Iterator[Stack]:
    made = Stack(broker="nats")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def tokens(session_stack: Stack) -> dict[str, str]:
    return {name: log_in(session_stack, name) for name in USERS}


def feed(stack: Stack, client: Client) -> Reader:
    return Reader(stack.addresses, FEED, client.token, is_last=lambda _: False)


def numbers(seen: Seen) -> list[int]:
    return [frame.data["event"]["payload"]["n"] for frame in seen.frames if frame.data.get("type") == "event"]


async def publish(stack: Stack, *events: int) -> None:
    """As another program does, without a word to our server."""
    client = await nats.connect(stack.nats.url, allow_reconnect=False)
    for n in events:
        await client.jetstream().publish("events.org_demo.crm.record.updated.r1", json.dumps({"n": n}).encode())
    await client.close()


async def test_what_another_program_publishes_in_nats_is_in_our_feed(stack: Stack, alice: Client):
    async with feed(stack, alice) as reader:
        await reader.until(lambda seen: seen.connections == 1, within=10)
        await publish(stack, 1, 2)
        await reader.until(lambda seen: numbers(seen) == [1, 2], within=10)
    await publish(stack, 3)
    async with Reader(stack.addresses[::-1], FEED, alice.token, cursor=reader.cursor, is_last=lambda _: False) as late:
        await late.until(lambda seen: numbers(seen) == [3], within=10)


async def test_a_nats_killed_in_the_middle_and_started_again_has_lost_nothing(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 300, "per_second": 30}])
    async with alice.reader(message_id) as answer, feed(stack, alice) as reader:
        await answer.until(lambda seen: len(seen.text) > 60, within=10)
        await publish(stack, 1)
        await reader.until(lambda seen: numbers(seen) == [1], within=10)
        for n in (2, 3):
            await publish(stack, n)
            await stack.kill_broker()
            await asyncio.sleep(1)
            await stack.start_broker()
        await publish(stack, 4)
        await reader.until(lambda seen: numbers(seen) == [1, 2, 3, 4], within=15)
        await answer.until(lambda seen: seen.over, within=40)
    check_answer(answer, words(300))
    assert (answer.connections, reader.connections) == (1, 1)
    assert [frame.data["type"] for frame in reader.frames] == ["subscribed"] + ["event"] * 4


async def test_streams_of_jetstream_that_are_deleted_are_made_anew_and_readers_are_told(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 200, "per_second": 30}])
    async with alice.reader(message_id) as answer, feed(stack, alice) as reader:
        await answer.until(lambda seen: len(seen.text) > 60, within=20)
        await publish(stack, 1)
        await reader.until(lambda seen: numbers(seen) == [1], within=20)
        await wipe_nats(stack.nats.url)
        # A subject without its stream is heard by nobody until one of our processes has made it anew.
        await eventually(lambda: accepted(stack, 2), within=30, what="JetStream to take an event")
        await reader.until(lambda seen: numbers(seen)[-1] == 2, within=30)
        await answer.until(lambda seen: seen.over, within=60)
    check_answer(answer, words(200))
    assert (answer.connections, reader.connections) == (1, 1)
    assert "backlog.truncated" in [frame.data["type"] for frame in reader.frames]


async def accepted(stack: Stack, number: int) -> bool:
    try:
        await publish(stack, number)
    except nats.errors.Error:
        return False
    return True


async def test_a_frozen_nats_keeps_its_readers_and_the_journal_answers_for_it(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 5}])
    async with alice.reader(message_id) as answer:
        await answer.until(lambda seen: seen.over, within=30)
    async with feed(stack, alice) as reader:
        await reader.until(lambda seen: seen.connections == 1, within=20)
        await stack.freeze_broker()
        frozen = time.monotonic()
        async with alice.reader(message_id, at=1) as late:
            await late.until(lambda seen: seen.over, within=30)
        assert reader.longest_silence(frozen, time.monotonic()) < patiently(3 * KEEPALIVE_SECONDS)
        await stack.thaw_broker()
        await publish(stack, 7)
        await reader.until(lambda seen: numbers(seen)[-1:] == [7], within=30)
    check_answer(late, words(5))
    assert reader.connections == 1
