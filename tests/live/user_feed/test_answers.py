"""Defects J, K and O, of the other stream that shares the slots: `GET /api/messages/<id>/events`."""

import asyncio
import time

import pytest

from tests.live.conftest import Client, words
from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person
from tests.patience import patiently

TOKENS = 60
PER_SECOND = 20


def text(connection: Connection) -> str:
    return "".join(frame.data["answer"] for frame in connection.frames if frame.data["type"] == "answer")


def path(message_id: str) -> str:
    return f"/api/messages/{message_id}/events"


@pytest.mark.parametrize("cursor", ["1000000", "-1", "nonsense"])
async def test_a_cursor_that_leads_nowhere_brings_the_whole_answer_at_once(stack: Stack, alice: Client, cursor: str):
    """Defects J and M: beyond the head, every event was held back until the last; -1 came from a frame of the server's own."""
    message_id = await alice.ask([{"tokens": TOKENS, "per_second": PER_SECOND}])
    async with Connection(stack.addresses[1], alice.token, cursor=cursor, path=path(message_id)) as connection:
        await connection.until(lambda seen: text(seen), within=2)
        assert connection.types[0] == "message_id"
        await connection.until(lambda seen: seen.over, within=15)
    assert text(connection) == words(TOKENS)
    assert connection.types[-1] == "end"
    numbers = [int(frame.id) for frame in connection.stored]
    assert numbers == sorted(set(numbers))
    assert all(number > 0 for number in numbers)


async def test_a_hole_in_what_the_broker_holds_is_filled_from_the_journal(stack: Stack, alice: Client):
    """Defect K: 10, then 12, and 11 was never fetched."""
    message_id = await alice.ask([{"tokens": TOKENS, "per_second": PER_SECOND}])
    key = f"tl:{{message:{message_id}}}"

    async def read(connection: Connection) -> None:
        await connection.until(lambda seen: seen.over, within=20)

    async with Connection(stack.addresses[0], alice.token, path=path(message_id)) as connection:
        await connection.until(lambda seen: len(text(seen)) > 20, within=5)
        with stack.valkey_client() as valkey:
            held = [entry for entry, _ in valkey.xrange(key)]
            valkey.xdel(key, *held[2:-2])
        async with Connection(stack.addresses[1], alice.token, cursor="1", path=path(message_id)) as late:
            await asyncio.gather(read(connection), read(late))
    assert text(connection) == text(late) == words(TOKENS)


async def test_an_answer_can_be_stopped_and_says_so(stack: Stack, alice: Client):
    """Defect O: there was no way to stop what was being paid for."""
    message_id = await alice.ask([{"tokens": 2000, "per_second": PER_SECOND}])
    async with Connection(stack.addresses[1], alice.token, path=path(message_id)) as connection:
        await connection.until(lambda seen: text(seen), within=5)
        asked = time.monotonic()
        assert (await alice.stop(message_id)).status_code == 202
        await connection.until(lambda seen: seen.over, within=5)
    assert time.monotonic() - asked < patiently(5)
    assert connection.frames[-1].data == {"type": "end", "cancelled": True} | {
        key: value for key, value in connection.frames[-1].data.items() if key not in ("type", "cancelled")
    }
    assert words(2000).startswith(text(connection))
    assert (await alice.tail(message_id))["status"] == "cancelled"


async def test_answers_and_feeds_share_the_slots_of_a_user(stack: Stack, person: Person):
    client = Client(stack, person.token)
    message_id = await client.ask([{"tokens": 200, "per_second": PER_SECOND}])
    feeds = [Connection(stack.addresses[n % 2], person.token) for n in range(7)]
    try:
        for feed in feeds:
            assert (await feed.__aenter__()).status == 200
        async with Connection(stack.addresses[0], person.token, path=path(message_id)) as eighth:
            assert eighth.status == 200
            async with Connection(stack.addresses[1], person.token, path=path(message_id)) as ninth:
                assert ninth.status == 429
                assert int(ninth.response.headers["Retry-After"]) >= 1
    finally:
        for feed in feeds:
            await feed.__aexit__()
        await client.stop(message_id)


async def test_a_revoked_reader_of_an_answer_reads_no_more(stack: Stack, person: Person):
    client = Client(stack, person.key)
    message_id = await client.ask([{"tokens": 400, "per_second": PER_SECOND}])
    async with Connection(stack.addresses[1], person.key, path=path(message_id)) as connection:
        await connection.until(lambda seen: text(seen), within=5)
        stack.query(
            "UPDATE accounts_apikey SET revoked_at = now() WHERE user_id = (SELECT id FROM accounts_user WHERE public_id = %s)",
            person.id,
        )
        await connection.until(lambda seen: seen.over, within=5)
    assert connection.types[-1] != "end"
    assert len(text(connection)) < len(words(400))


async def test_the_feed_tells_of_an_answer_once_it_is_accepted_and_once_it_has_ended(stack: Stack, alice: Client):
    async with Connection(stack.addresses[1], alice.token, query={"pending": "0"}) as connection:
        message_id = await alice.ask([{"text": "hi"}])

        def told(seen: Connection) -> list[str]:
            return [frame.data["type"] for frame in seen.frames if frame.data["payload"].get("message_id") == message_id]

        await connection.until(lambda seen: len(told(seen)) == 2)
        assert told(connection) == ["message.started", "message.finished"]
    assert isinstance(connection.frames[-1].id, str)
