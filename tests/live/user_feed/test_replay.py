"""Defects A, D and the header: nothing of a backlog is skipped, whatever is published meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.live.docsgpt_client import DocsGptClient
from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person, Publisher, in_order, order
from tests.patience import patiently

PAGE = 200
RETRY_SECONDS = 0.2


@asynccontextmanager
async def publishing(publisher: Publisher, person: Person, ids: list[str], *, per_second: float) -> AsyncIterator[None]:
    """Publishes all the while; adds the ids to `ids`."""
    task = asyncio.create_task(publisher.keep_publishing(person, per_second=per_second))
    try:
        yield
    finally:
        task.cancel()
        ids += await task


async def test_a_live_event_does_not_take_the_cursor_over_what_was_not_replayed_yet(
    stack: Stack, person: Person, publisher: Publisher
):
    """Defect A, step by step: 500 behind, a page of 200, one live event, and the 299 others must still come."""
    [first, *behind] = await publisher.publish(person, 501)
    async with Connection(stack.addresses[0], person.token, cursor=first) as page:
        await page.until(lambda seen: seen.over)
    assert [frame.id for frame in page.frames] == behind[:PAGE]
    assert not page.broken
    [live] = await publisher.publish(person)
    async with Connection(stack.addresses[1], person.token, cursor=behind[PAGE - 1]) as page:
        await page.until(lambda seen: seen.over)
    assert [frame.id for frame in page.frames] == behind[PAGE : 2 * PAGE]
    async with Connection(stack.addresses[0], person.token, cursor=behind[2 * PAGE - 1]) as page:
        await page.until(lambda seen: len(seen.frames) == 101)
        assert [frame.id for frame in page.frames] == [*behind[2 * PAGE :], live]
        [later] = await publisher.publish(person)
        await page.until(lambda seen: seen.frames[-1].id == later)
        assert not page.over


async def test_a_client_500_behind_gets_every_event_while_publishing_goes_on(stack: Stack, person: Person, publisher: Publisher):
    """Defect A with the client that lost 299 events."""
    [first, *published] = await publisher.publish(person, 501)
    async with DocsGptClient(stack.addresses[0], person.token, cursor=first) as client:
        async with publishing(publisher, person, published, per_second=20):
            await client.until(lambda seen: len(seen.events) > 560, within=20)
        await client.until(lambda seen: len(seen.events) == len(published), within=5)
    assert [event["id"] for event in client.events] == published
    assert set(client.statuses) == {200}


async def read_as_a_browser(addresses: list[str], person: Person, cursor: str, wanted: asyncio.Event) -> list[str]:
    """What an EventSource sees: back after `retry:` with its last id, until `wanted` is set and nothing more comes."""
    seen: list[str] = []
    for address in itertools.cycle(addresses):
        async with Connection(address, person.token, cursor=cursor) as connection:
            assert connection.status == 200, connection.response.text
            while not connection.over:
                try:
                    known = len(connection.frames)
                    await connection.until(lambda now, n=known: now.over or len(now.frames) > n, within=0.5)
                except AssertionError:
                    if wanted.is_set():
                        break
            assert connection.types == ["source.ingest.progress"] * len(connection.frames)
            seen += [frame.id for frame in connection.frames]
            cursor = seen[-1]
            if not connection.over:
                return seen
        await asyncio.sleep(RETRY_SECONDS)
    raise AssertionError


@pytest.mark.parametrize("per_second", [5, 100])
async def test_a_browser_1000_behind_gets_every_event_in_order_while_publishing_goes_on(
    stack: Stack, person: Person, publisher: Publisher, per_second: float
):
    [first, *published] = await publisher.publish(person, 1001)
    done = asyncio.Event()
    async with publishing(publisher, person, published, per_second=per_second):
        reading = asyncio.create_task(read_as_a_browser(stack.addresses[:2], person, first, done))
        await asyncio.sleep(4)
    done.set()
    seen = await reading
    assert len(published) > 1000
    assert in_order(seen)
    assert seen == published


async def test_the_seeds_client_1000_behind_comes_through_within_its_limits(stack: Stack, person: Person, publisher: Publisher):
    """It pauses a second after every page, and takes each end of a page for an error: 20 in a row would be its last."""
    [first, *published] = await publisher.publish(person, 1001)
    async with DocsGptClient(stack.addresses[1], person.token, cursor=first) as client:
        async with publishing(publisher, person, published, per_second=10):
            await client.until(lambda seen: len(seen.events) > 1020, within=30)
        await client.until(lambda seen: len(seen.events) == len(published), within=5)
    assert [event["id"] for event in client.events] == published
    assert 5 <= len(client.statuses) <= 7
    assert set(client.statuses) == {200}


async def test_two_publishers_at_once_and_a_reader_that_drops_after_every_event_misses_none(
    stack: Stack, person: Person, publisher: Publisher, web_with
):
    """Defect D: stored and announced in another order, an event was neither delivered nor replayed."""
    address = web_with(EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW="0")
    [cursor] = await publisher.publish(person)
    seen, published = [], []

    async def read() -> None:
        nonlocal cursor
        while not (published and len(seen) == len(published[0]) + len(published[1])):
            async with Connection(address, person.token, cursor=cursor) as connection:
                await connection.until(lambda now: now.frames or len(published) == 2)
                seen.extend(frame.id for frame in connection.frames)
                cursor = seen[-1] if seen else cursor

    async def write() -> list[str]:
        return [each for _ in range(60) for each in await publisher.publish(person)]

    async with asyncio.timeout(patiently(60)):
        reading = asyncio.create_task(read())
        published = await asyncio.gather(write(), write())
        await publisher.publish(person, 0)
        await reading
    assert seen == sorted([*published[0], *published[1]], key=order)


async def test_the_header_wins_over_the_query(stack: Stack, person: Person, publisher: Publisher):
    ids = await publisher.publish(person, 5)
    query = {"last_event_id": ids[0]}
    async with Connection(stack.addresses[0], person.token, cursor=ids[2], query=query) as connection:
        await connection.until(lambda seen: len(seen.frames) == 2)
        assert [frame.id for frame in connection.frames] == ids[3:]
    async with Connection(stack.addresses[0], person.token, query=query) as connection:
        await connection.until(lambda seen: len(seen.frames) == 4)
        assert [frame.id for frame in connection.frames] == ids[1:]
