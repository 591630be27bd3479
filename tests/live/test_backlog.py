"""A user's feed: many publishers, readers that are cut off all the time, doorbells that break."""

import asyncio
import json
import random
import sys

from tests.live.conftest import Client
from tests.live.processes import PROJECT, Stack
from tests.live.readers import Frame, Reader

READERS = 10
CUTS = 10
EVENTS = 300


async def user_id(client: Client) -> str:
    return (await client.request("GET", "/api/v1/auth/me")).json()["id"]


async def publish(stack: Stack, user: str, name: str, threads: int, events: int) -> list[tuple[str, str, int]]:
    """What a process of its own published."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.live.publisher", user, name, str(threads), str(events)),
        env=stack.environment,
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return [(id_, publisher, number) for id_, publisher, number in json.loads(said)]


def order(event_id: str) -> tuple[int, int]:
    major, minor = event_id.split("-")
    return int(major), int(minor)


async def kill_doorbells(stack: Stack) -> int:
    """Breaks every pub/sub connection, again and again, until cancelled."""
    killed = 0
    with stack.valkey_client() as client:
        try:
            while True:
                killed += client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            return killed


async def test_readers_cut_100_times_while_4_publishers_write_see_every_event_once_and_in_order(stack: Stack, bob: Client):
    user, dice = await user_id(bob), random.Random(3)

    def is_last(frame: Frame) -> bool:
        return frame.data["type"] == "notification.created" and frame.data["payload"].get("publisher") == "last0"

    def is_early(seen: Reader) -> bool:
        return len(seen.frames) > 0

    readers = [
        Reader(stack.addresses[n % 2 :] + stack.addresses[: n % 2], "/api/events", bob.token, cursor="0-0", is_last=is_last)
        for n in range(READERS)
    ]

    async def read(reader: Reader) -> None:
        async with reader:
            await reader.until(is_early, within=20)
            for _ in range(CUTS):
                wanted = (len(reader.frames) + dice.randint(1, 2 * EVENTS // CUTS), reader.connections + 1)
                await reader.until(lambda seen, n=wanted[0]: len(seen.frames) >= n or seen.over, within=30)
                reader.cut()
                await reader.until(lambda seen, n=wanted[1]: seen.connections >= n or seen.over, within=30)
            await reader.until(lambda seen: seen.over, within=30)

    async def write() -> list[tuple[str, str, int]]:
        parts = await asyncio.gather(*(publish(stack, user, name, 2, EVENTS) for name in "ab"))
        return [*parts[0], *parts[1], *(await publish(stack, user, "last", 1, 1))]

    killer = asyncio.create_task(kill_doorbells(stack))
    try:
        published, *_ = await asyncio.gather(write(), *(read(reader) for reader in readers))
    finally:
        killer.cancel()
    expected = sorted(published, key=lambda each: order(each[0]))
    assert len(expected) == 4 * EVENTS + 1
    for reader in readers:
        # His feed holds what other tests did, too.
        payloads = [(frame.id, frame.data["payload"]) for frame in reader.frames]
        seen = [(id_, payload["publisher"], payload["number"]) for id_, payload in payloads if "publisher" in payload]
        assert seen == expected
        assert reader.refused == []
    assert sum(reader.connections for reader in readers) > READERS * CUTS
    assert await killer > 5


async def test_answers_are_live_without_a_single_doorbell(stack: Stack, alice: Client):
    """The bells are lost for good: the sweep alone brings the text, late but whole."""
    with stack.valkey_client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-subscribe")
        try:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            message_id = await alice.ask([{"tokens": 20, "per_second": 10}])
            async with alice.reader(message_id) as reader:
                await reader.until(lambda seen: seen.over, within=15)
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+subscribe")
    assert reader.text == "".join(f"w{number} " for number in range(20))


async def test_the_feed_tells_of_answers_that_begin_and_end(stack: Stack, alice: Client):
    reader = Reader(stack.addresses, "/api/events", alice.token, is_last=lambda frame: False)
    async with reader:
        await reader.until(lambda seen: seen.connections == 1, within=5)
        message_id = await alice.ask([{"text": "hi"}], at=1)

        def heard(seen: Reader) -> list[str]:
            return [frame.data["type"] for frame in seen.frames if frame.data["payload"].get("message_id") == message_id]

        await reader.until(lambda seen: heard(seen) == ["message.started", "message.finished"], within=10)
    assert reader.frames[-1].data["payload"]["status"] == "completed"
