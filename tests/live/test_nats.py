"""A whole server on NATS, beside other programs that speak to the same NATS. On NATS whatever EVENT_BROKER says."""

import asyncio
import json
from collections.abc import Iterator

import nats
import pytest

from tests.live.conftest import USERS, Client, log_in, words
from tests.live.processes import Stack
from tests.live.readers import Reader, Seen, check_answer

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
