"""An answer whose readers are cut off everywhere: they come back to another process with their cursor."""

import asyncio
import random

from tests.live.conftest import Client, words
from tests.live.processes import Stack
from tests.live.readers import RawReader, Reader, check_answer
from tests.patience import patiently

SHORT = [
    {"reasoning": "Let me see."},
    {"sources": [{"title": "A", "text": "a"}]},
    {"text": "Grüße, "},
    {"tool_call": {"name": "look", "arguments": {"at": "it"}}},
    {"text": "Welt \U0001f600"},
]
SHORT_TEXT = "Grüße, Welt \U0001f600"


def events_path(message_id: str) -> str:
    return f"/api/messages/{message_id}/events"


async def finished(client: Client, script: list) -> str:
    message_id = await client.ask(script)
    async with client.reader(message_id) as reader:
        await reader.until(lambda seen: seen.over, within=15)
    return message_id


async def test_a_short_answer_cut_after_every_single_byte_is_read_exactly_once(stack: Stack, alice: Client):
    message_id = await finished(alice, SHORT)
    whole = RawReader(stack.addresses, events_path(message_id), alice.token)
    await whole.connect()
    check_answer(whole, SHORT_TEXT)
    gate = asyncio.Semaphore(16)

    async def cut_at(size: int) -> None:
        async with gate:
            reader = RawReader(stack.addresses, events_path(message_id), alice.token)
            await reader.connect(most=size)
            assert reader.received == size
            if not reader.over:
                await reader.connect()
            check_answer(reader, SHORT_TEXT)
            assert [frame.data["type"] for frame in reader.frames if frame.id] == [
                frame.data["type"] for frame in whole.frames if frame.id
            ]

    assert whole.received > 300
    await asyncio.gather(*(cut_at(size) for size in range(1, whole.received + 1)))


async def test_a_running_answer_cut_after_every_event_is_read_exactly_once(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 60, "per_second": 30}])
    async with alice.reader(message_id, at=1) as reader:
        for _ in range(200):
            count = len(reader.frames)
            await reader.until(lambda seen, count=count: len(seen.frames) > count or seen.over, within=10)
            if reader.over:
                break
            reader.cut()
    check_answer(reader, words(60))
    assert reader.connections > 15


async def test_running_answers_cut_at_random_bytes_are_read_exactly_once(stack: Stack, alice: Client):
    dice = random.Random(2)
    ids = await asyncio.gather(*(alice.ask([{"tokens": 120, "per_second": 40}], at=number % 2) for number in range(3)))

    async def read(message_id: str, number: int) -> int:
        addresses = stack.addresses if number % 2 else stack.addresses[::-1]
        reader = RawReader(addresses, events_path(message_id), alice.token)
        cuts = 0
        while not reader.over:
            # Often inside the headers, inside a frame, between two chunks of the response.
            # Sometimes long enough for whatever it has fallen behind: that is one frame.
            await reader.connect(most=dice.randint(1, dice.choice((900, 900, 900, 5000))))
            cuts += 1
            assert cuts < 500
        check_answer(reader, words(120))
        return cuts

    async with asyncio.timeout(patiently(40)):
        cuts = await asyncio.gather(*(read(message_id, number) for message_id in ids for number in range(12)))
    assert sum(cuts) > 100


async def test_a_reader_of_the_whole_sees_what_one_that_came_late_sees(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 50, "per_second": 50}])
    async with alice.reader(message_id) as early:
        await early.until(lambda seen: len(seen.frames) > 10, within=10)
        async with alice.reader(message_id, at=1) as late:
            await asyncio.gather(early.until(lambda seen: seen.over, within=10), late.until(lambda seen: seen.over, within=10))
    check_answer(early, words(50))
    check_answer(late, words(50))


async def test_2000_tokens_are_caught_up_in_at_most_20_frames(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 2000, "per_second": 1000}])
    async with alice.reader(message_id) as live:
        await live.until(lambda seen: len(seen.frames) > 3, within=10)
        await live.until(lambda seen: seen.over, within=20)
    check_answer(live, words(2000))
    late = Reader(stack.addresses, events_path(message_id), alice.token)
    async with late:
        await late.until(lambda seen: seen.over, within=10)
    check_answer(late, words(2000))
    assert len(late.frames) <= 20
    assert len(live.frames) > 20
    assert (await alice.tail(message_id))["response"] == words(2000)


async def test_a_cursor_beyond_the_end_gives_everything_and_one_at_the_end_nothing(stack: Stack, alice: Client):
    message_id = await finished(alice, SHORT)
    for cursor in ("999", "abc", "-1", "0", "1-1", "99999999999999999999999"):
        async with alice.reader(message_id, cursor=cursor) as reader:
            await reader.until(lambda seen: seen.over, within=5)
        check_answer(reader, SHORT_TEXT)
    response = await alice.request("GET", events_path(message_id), headers={"Last-Event-ID": reader.cursor})
    assert response.status_code == 204
