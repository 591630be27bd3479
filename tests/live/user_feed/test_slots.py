"""Defects C, H and N: how many streams a user may have open is always what the setting says."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.live.processes import Stack, eventually
from tests.live.user_feed.conftest import SLOT_SECONDS
from tests.live.user_feed.wire import Connection, Person
from tests.patience import patiently

SLOTS = 8
OPENED_AND_CLOSED = 1000
SIDE_BY_SIDE = 6
USERS = 12
THREADS = 60


@asynccontextmanager
async def opened(stack: Stack, person: Person, count: int, *, at: int | None = None) -> AsyncIterator[list[Connection]]:
    """So many streams, over both web processes in turn."""
    async with AsyncExitStack() as exits:
        yield [
            await exits.enter_async_context(Connection(stack.addresses[n % 2 if at is None else at], person.token))
            for n in range(count)
        ]


async def status_of_one_more(stack: Stack, person: Person, *, at: int = 0) -> int:
    async with Connection(stack.addresses[at], person.token) as connection:
        return connection.status


async def check_8_are_admitted_and_the_9th_refused(stack: Stack, person: Person) -> None:
    async with opened(stack, person, SLOTS) as connections:
        assert [connection.status for connection in connections] == [200] * SLOTS
        for at in (0, 1):
            async with Connection(stack.addresses[at], person.token) as refused:
                assert refused.status == 429
                assert refused.response.json()["success"] is False
                assert "concurrent" in refused.response.json()["message"]
                assert int(refused.response.headers["Retry-After"]) >= 1


async def test_the_ninth_stream_is_refused_whichever_process_it_comes_to(stack: Stack, person: Person):
    await check_8_are_admitted_and_the_9th_refused(stack, person)


async def test_a_slot_is_free_at_once_when_the_client_has_left(stack: Stack, person: Person):
    """Defect H: it was held for 15 s, until the next keep-alive could not be written."""
    async with opened(stack, person, SLOTS - 1), Connection(stack.addresses[0], person.token) as last:
        assert last.status == 200
        assert await status_of_one_more(stack, person) == 429
        await last.__aexit__()
        left = time.monotonic()

        async def admitted() -> bool:
            return await status_of_one_more(stack, person, at=1) == 200

        await eventually(admitted, within=1, what="the slot to be free")
    assert time.monotonic() - left < patiently(1)


async def test_1000_streams_opened_and_closed_quickly_leave_8_slots(stack: Stack, person: Person):
    """Many leave before they have the first byte, or even the headers: a slot must not be lost on the way."""
    refused = 0

    async def open_and_close(numbers: range) -> None:
        nonlocal refused
        for number in numbers:
            host, _, port = stack.addresses[number % 2].removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            request = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {person.token}\r\n\r\n"
            writer.write(request.encode())
            match number % 3:
                case 0:
                    refused += b" 429 " in await reader.readline()
                case 1:
                    await writer.drain()
                    await asyncio.sleep(0.001 * (number % 7))
            writer.transport.abort()

    part = OPENED_AND_CLOSED // SIDE_BY_SIDE + 1
    await asyncio.gather(*(open_and_close(range(n * part, (n + 1) * part)) for n in range(SIDE_BY_SIDE)))

    async def all_free() -> bool:
        async with opened(stack, person, SLOTS) as connections:
            return all(connection.status == 200 for connection in connections)

    await eventually(all_free, within=2, what="all slots to be free")
    await check_8_are_admitted_and_the_9th_refused(stack, person)


async def test_slots_do_not_drift_while_streams_are_open_longer_than_a_lease(stack: Stack, person: Person):
    """Defect C: the counter expired under open streams, went below zero when they closed, and let in too many for ever."""
    async with opened(stack, person, SLOTS):
        await asyncio.sleep(2.5 * SLOT_SECONDS)
        assert await status_of_one_more(stack, person) == 429

    async def none_taken() -> bool:
        with stack.valkey_client() as valkey:
            return valkey.zcard(f"tl:{{slots:{person.id}}}") == 0

    await eventually(none_taken, within=2, what="the slots to be given back")
    await check_8_are_admitted_and_the_9th_refused(stack, person)


async def test_a_wiped_broker_learns_of_open_streams_again(stack: Stack, person: Person):
    async with opened(stack, person, SLOTS) as connections:
        with stack.valkey_client() as valkey:
            valkey.flushall()

        async def refused() -> bool:
            return await status_of_one_more(stack, person) == 429

        await eventually(refused, within=SLOT_SECONDS, what="the slots to be taken again")
        assert not any(connection.over for connection in connections)


async def test_a_killed_server_blocks_its_users_no_longer_than_the_lease(stack: Stack, person: Person):
    async with opened(stack, person, SLOTS, at=0):
        assert await status_of_one_more(stack, person, at=1) == 429
        stack.webs[0].process.send_signal(signal.SIGKILL)
        killed = time.monotonic()

        async def admitted() -> bool:
            return await status_of_one_more(stack, person, at=1) == 200

        await eventually(admitted, within=SLOT_SECONDS + 1, what="the slots of the dead process to be free")
    assert time.monotonic() - killed <= SLOT_SECONDS + patiently(0.5)


async def test_12_users_with_8_streams_each_exhaust_no_threads(stack: Stack, people: Callable[[], Person]):
    """Defect N: each stream held a thread, and 96 of them the whole process."""
    async with AsyncExitStack() as exits:
        for _ in range(USERS):
            connections = await exits.enter_async_context(opened(stack, people(), SLOTS, at=0))
            assert all(connection.status == 200 for connection in connections)
        assert len(os.listdir(f"/proc/{stack.webs[0].pid}/task")) < THREADS
        async with httpx.AsyncClient(timeout=5) as client:
            asked = time.monotonic()
            response = await client.get(f"{stack.addresses[0]}/api/v1/auth/me", headers={"Authorization": "Bearer x"})
            assert response.status_code == 401
            assert time.monotonic() - asked < patiently(2)


async def test_a_client_that_reads_nothing_frees_its_slot_when_it_goes(stack: Stack, person: Person):
    host, _, port = stack.addresses[0].removeprefix("http://").partition(":")
    async with opened(stack, person, SLOTS - 1, at=1):
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        request = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {person.token}\r\n\r\n"
        writer.write(request.encode())

        async def taken() -> bool:
            return await status_of_one_more(stack, person, at=1) == 429

        await eventually(taken, within=5, what="the slot to be taken")
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

        async def free() -> bool:
            return await status_of_one_more(stack, person, at=1) == 200

        await eventually(free, within=1, what="the slot to be free")
