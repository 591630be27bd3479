"""Defect L: the broker away for a while costs no reader anything but time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.live.docsgpt_client import DocsGptClient
from tests.live.processes import Stack, eventually
from tests.live.user_feed.wire import Connection, Person, Publisher
from tests.patience import patiently

OUTAGE_SECONDS = 60.0
SHORT_OUTAGE_SECONDS = 6.0

Store = Callable[[Stack], Awaitable[None]]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("away", "back", "kept"),
    [(Stack.kill_broker, Stack.start_broker, False), (Stack.freeze_broker, Stack.thaw_broker, True)],
    ids=["killed and started empty", "frozen"],
)
async def test_clients_of_a_broker_that_is_away_stay_or_are_told_when_to_come_back_and_receive_afterwards(
    stack: Stack, people: Callable[[], Person], publisher: Publisher, away: Store, back: Store, kept: bool
):
    """It was 200 and an end at once: after 20 such errors the client was dark. A whole minute, with the client's own pauses."""
    person, other = people(), people()
    [first] = await publisher.publish(person)
    async with (
        Connection(stack.addresses[0], person.token, cursor=first) as before,
        DocsGptClient(stack.addresses[1], person.token, cursor=first) as client,
        DocsGptClient(stack.addresses[0], other.token) as late,
    ):
        await client.until(lambda seen: seen.statuses == [200], within=5)
        await late.until(lambda seen: seen.statuses == [200], within=5)
        await away(stack)
        gone = time.monotonic()
        late.cut()
        async with Connection(stack.addresses[1], other.token) as refused:
            assert refused.status == 503
            assert refused.response.json()["success"] is False
            assert int(refused.response.headers["Retry-After"]) >= 1
        # Commands to a broker that is frozen are answered when they have waited long enough.
        assert time.monotonic() - gone < patiently(8)
        await asyncio.sleep(gone + OUTAGE_SECONDS - time.monotonic())
        assert not before.over
        assert client.statuses == [200], "it was let go"
        assert not late.dark
        assert not client.dark
        assert set(late.statuses[1:]) <= {0, 503}
        await back(stack)
        mended = time.monotonic()
        await late.until(lambda seen: seen.statuses[-1] == 200, within=45)
        ids = await publisher.publish(person, 3)
        late_ids = await publisher.publish(other, 3)
        await before.until(lambda seen: [frame.id for frame in seen.stored][-3:] == ids, within=10)
        await client.until(lambda seen: [event.get("id") for event in seen.events][-3:] == ids, within=10)
        await late.until(lambda seen: [event.get("id") for event in seen.events][-3:] == late_ids, within=10)
        assert time.monotonic() - mended < patiently(50)
        notices = [kind for kind in before.types if kind == "backlog.truncated"]
        assert len(notices) <= (0 if kept else 1)
        assert before.numbers[-3:] == sorted(before.numbers[-3:])


async def test_events_published_while_the_doorbells_are_broken_are_neither_lost_nor_late(
    stack: Stack, person: Person, publisher: Publisher
):
    async with Connection(stack.addresses[0], person.token) as connection:
        published: list[str] = []
        with stack.valkey_client() as valkey:
            for _ in range(20):
                valkey.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                published += await publisher.publish(person, 2)
        await connection.until(lambda seen: len(seen.frames) == len(published), within=8)
        assert [frame.id for frame in connection.frames] == published


async def test_a_server_that_stops_ends_streams_in_order_and_the_client_goes_on_elsewhere(
    stack: Stack, person: Person, publisher: Publisher
):
    ids = await publisher.publish(person, 3)
    async with Connection(stack.addresses[0], person.token, cursor=ids[0]) as connection:
        await connection.until(lambda seen: len(seen.frames) == 2)
        await asyncio.to_thread(stack.webs[0].stop)
        await connection.until(lambda seen: seen.over, within=5)
        assert not connection.broken
    async with Connection(stack.addresses[1], person.token, cursor=connection.frames[-1].id) as connection:

        async def delivered() -> bool:
            return bool(connection.frames)

        asking = asyncio.create_task(eventually(delivered, within=5, what="an event"))
        stack.webs[0].start()
        stack.wait_ready()
        [live] = await publisher.publish(person)
        await asking
        assert [frame.id for frame in connection.frames] == [live]
