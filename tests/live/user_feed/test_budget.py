"""Defect B: the replay budget is a sliding window in which refusals count for nothing."""

import asyncio
import time

from tests.live.docsgpt_client import DocsGptClient
from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person, Publisher
from tests.patience import patiently

BUDGET = 30
WINDOW = 60
RECONNECTS = 40


async def status_of_replay(address: str, person: Person) -> tuple[int, int]:
    """Of one request with a cursor: the status, and Retry-After (0 without)."""
    async with Connection(address, person.token, cursor="0-0") as connection:
        return connection.status, int(connection.response.headers.get("Retry-After", 0))


async def test_of_40_reconnects_only_those_over_the_budget_are_refused_and_told_when_to_come_back(stack: Stack, person: Person):
    began = time.monotonic()
    answers = [await status_of_replay(stack.addresses[n % 2], person) for n in range(RECONNECTS)]
    took = time.monotonic() - began
    assert [status for status, _ in answers] == [200] * BUDGET + [429] * (RECONNECTS - BUDGET)
    assert all(WINDOW - took - 1 <= wait <= WINDOW + 1 for _, wait in answers[BUDGET:])
    async with Connection(stack.addresses[0], person.token, cursor="0-0") as refused:
        assert refused.response.json()["success"] is False
        assert refused.response.json()["message"].startswith("Replay budget exhausted")
    async with Connection(stack.addresses[0], person.token) as live:
        assert live.status == 200, "who does not ask for a replay needs no budget"


async def test_who_retries_all_the_time_is_let_in_again_when_the_window_has_moved_on(stack: Stack, person: Person, web_with):
    """The numbers of the defect: 3 in 2 s and a retry each second gave 200, 200, 200 and then 429 for ever."""
    address = web_with(EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW="3", EVENTS_REPLAY_BUDGET_WINDOW_SECONDS="2")
    admitted: list[tuple[float, float]] = []  # when it was asked, and when answered: it was let in at some time between
    async with asyncio.timeout(patiently(20)):
        while len(admitted) < 3 * 4:
            asked = time.monotonic()
            if (await status_of_replay(address, person))[0] == 200:
                admitted.append((asked, time.monotonic()))
            await asyncio.sleep(0.25)
    for (first_asked, first), (fourth_asked, fourth) in zip(admitted, admitted[3:], strict=False):
        assert fourth - first_asked > 1.9, "more than 3 in 2 s"
        assert fourth_asked - first < 2 + 0.25 + patiently(0.5), "kept out although the window had moved on"


async def test_retry_after_is_when_the_next_replay_is_admitted(stack: Stack, person: Person, web_with):
    address = web_with(EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW="2", EVENTS_REPLAY_BUDGET_WINDOW_SECONDS="2")
    statuses = [await status_of_replay(address, person) for _ in range(3)]
    assert [status for status, _ in statuses] == [200, 200, 429]
    assert 1 <= statuses[2][1] <= 3
    await asyncio.sleep(statuses[2][1])
    assert (await status_of_replay(address, person))[0] == 200


async def test_the_seeds_client_over_budget_recovers_within_one_window_and_misses_nothing(
    stack: Stack, person: Person, publisher: Publisher
):
    """A whole window. It stands still at each 429 for 8 s, and keeps its cursor."""
    [cursor, *ids] = await publisher.publish(person, 4)
    for n in range(BUDGET):
        assert (await status_of_replay(stack.addresses[n % 2], person))[0] == 200
    spent = time.monotonic()
    async with DocsGptClient(stack.addresses[0], person.token, cursor=cursor) as client:
        await client.until(lambda seen: len(seen.events) == 3, within=WINDOW + 15)
        assert time.monotonic() - spent < WINDOW + patiently(12), "one window, and the pause that the client was in at its end"
        assert client.statuses[0] == 429
        assert not client.dark
        ids += await publisher.publish(person)
        await client.until(lambda seen: len(seen.events) == 4, within=2)
    assert [event["id"] for event in client.events] == ids
