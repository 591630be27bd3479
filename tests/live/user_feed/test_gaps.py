"""Defects E, G and I: a backlog that is not what it was is told of, and from there on nothing is missed."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest
import redis

from tests.live.docsgpt_client import DocsGptClient
from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person, Publisher, backlog_key, in_order

HOUR_MS = 3_600_000
FLOOR_HOURS = 48

Damage = Callable[[redis.Redis, str], None]


def delete(valkey: redis.Redis, key: str) -> None:
    valkey.delete(key)


def wipe(valkey: redis.Redis, key: str) -> None:
    valkey.flushall()


def empty(valkey: redis.Redis, key: str) -> None:
    valkey.xtrim(key, maxlen=0, approximate=False)


def trim(valkey: redis.Redis, key: str) -> None:
    valkey.xtrim(key, maxlen=3, approximate=False)


async def check_usable(stack: Stack, person: Person, publisher: Publisher, cursor: str | None) -> None:
    """That with this cursor a reader who was away gets what was published meanwhile, and no notice."""
    assert await after(stack, person, publisher, cursor) == ["source.ingest.progress"] * 2


async def after(stack: Stack, person: Person, publisher: Publisher, cursor: str | None) -> list[str]:
    """The types of what a reader who was away is told; two events were published meanwhile, and are there."""
    assert cursor, "there is no cursor to come back with"
    ids = await publisher.publish(person, 2)
    async with Connection(stack.addresses[1], person.token, cursor=cursor) as connection:
        await connection.until(lambda seen: len(seen.stored) >= 2)
        assert [frame.id for frame in connection.stored] == ids
        return connection.types


@pytest.mark.parametrize(
    ("damage", "left", "reasons"),
    [
        (delete, 0, {"expired", "unknown_cursor"}),
        (wipe, 0, {"expired", "unknown_cursor"}),
        (trim, 3, {"trimmed"}),
    ],
    ids=["deleted", "wiped", "trimmed"],
)
async def test_a_reader_whose_backlog_was_lost_is_told_and_gets_a_usable_cursor(
    stack: Stack, person: Person, publisher: Publisher, damage: Damage, left: int, reasons: set[str]
):
    ids = await publisher.publish(person, 10)
    with stack.valkey_client() as valkey:
        damage(valkey, backlog_key(person))
    async with Connection(stack.addresses[0], person.token, cursor=ids[0]) as connection:
        await connection.until(lambda seen: len(seen.frames) > left)
        # Gone before anything new is published: what comes then must be reachable all the same.
    notice, *rest = connection.frames
    kept = ids[len(ids) - left :]
    assert notice.id is None
    assert notice.data["type"] == "backlog.truncated"
    assert notice.data["payload"]["oldest_retained_id"] == (kept[0] if kept else "")
    assert notice.data["payload"]["reason"] in reasons
    assert [frame.id for frame in rest if frame.data["type"] != "backlog.restarted"] == kept
    await check_usable(stack, person, publisher, rest[-1].id)


async def test_a_reader_of_an_emptied_stream_is_told_once_and_misses_nothing(stack: Stack, person: Person, publisher: Publisher):
    """Such a stream knows that it once held more, but not up to where: better a notice too many than one too few."""
    ids = await publisher.publish(person, 10)
    with stack.valkey_client() as valkey:
        empty(valkey, backlog_key(person))
    for cursor in (ids[0], "0-0"):
        async with Connection(stack.addresses[0], person.token, cursor=cursor) as connection:
            await connection.until(lambda seen: len(seen.frames) == 2)
            assert connection.types == ["backlog.truncated", "backlog.restarted"]
            # It was a loop of notices once.
            await asyncio.sleep(0.5)
            assert len(connection.frames) == 2
    types = await after(stack, person, publisher, connection.frames[-1].id)
    assert types[-2:] == ["source.ingest.progress"] * 2
    assert set(types[:-2]) <= {"backlog.truncated"}


@pytest.mark.parametrize("published_since", [0, 3])
async def test_a_reader_of_a_stream_restored_from_an_older_dump_is_told_and_gets_all_of_it(
    stack: Stack, person: Person, publisher: Publisher, published_since: int
):
    """Defect G as it comes about: the ids that a restored stream gives out may be smaller than the cursor."""
    older = await publisher.publish(person, 5)
    with stack.valkey_client() as valkey:
        dump = valkey.dump(backlog_key(person))
        newer = await publisher.publish(person, 5)
        valkey.restore(backlog_key(person), FLOOR_HOURS * HOUR_MS, dump, replace=True)
    since = await publisher.publish(person, published_since) if published_since else []
    async with Connection(stack.addresses[0], person.token, cursor=newer[-1]) as connection:
        await connection.until(lambda seen: len(seen.stored) == len(older) + len(since))
        notice, *rest = connection.frames
        assert notice.data["payload"] == {"oldest_retained_id": older[0], "reason": "unknown_cursor"}
        assert [frame.id for frame in rest] == [*older, *since]
    await check_usable(stack, person, publisher, rest[-1].id)


@pytest.mark.parametrize("retained", [0, 4])
async def test_a_cursor_from_the_future_is_told_and_replaced_by_a_smaller_one(
    stack: Stack, person: Person, publisher: Publisher, retained: int
):
    ids = await publisher.publish(person, retained) if retained else []
    future = f"{int(time.time() * 1000) + HOUR_MS}-0"
    async with Connection(stack.addresses[0], person.token, cursor=future) as connection:
        await connection.until(lambda seen: len(seen.frames) > max(1, retained))
        assert connection.types[0] == "backlog.truncated"
        [live] = await publisher.publish(person)
        await connection.until(lambda seen: seen.frames[-1].id == live)
    assert [frame.id for frame in connection.frames if frame.data["type"].startswith("source.")] == [*ids, live]
    await check_usable(stack, person, publisher, live)


@pytest.mark.parametrize("cursor", ["nonsense", "-1", "12", "1-2-3", "99999999999999999999-0", "0x10-0"])
async def test_a_malformed_cursor_is_told_and_everything_is_replayed(
    stack: Stack, person: Person, publisher: Publisher, cursor: str
):
    ids = await publisher.publish(person, 3)
    async with Connection(stack.addresses[0], person.token, cursor=cursor) as connection:
        await connection.until(lambda seen: len(seen.stored) == 3)
        assert connection.frames[0].data["payload"] == {"oldest_retained_id": ids[0], "reason": "malformed"}
        assert [frame.id for frame in connection.frames] == [None, *ids]
    await check_usable(stack, person, publisher, ids[-1])


@pytest.mark.parametrize("damage", [delete, wipe, empty], ids=["deleted", "wiped", "emptied"])
async def test_a_reader_whose_backlog_is_lost_while_it_reads_is_told_with_the_next_event(
    stack: Stack, person: Person, publisher: Publisher, damage: Damage
):
    await publisher.publish(person, 3)
    async with Connection(stack.addresses[0], person.token, cursor="0-0") as connection:
        await connection.until(lambda seen: len(seen.stored) == 3)
        with stack.valkey_client() as valkey:
            damage(valkey, backlog_key(person))
        ids = await publisher.publish(person, 2)
        await connection.until(lambda seen: seen.frames[-1].id == ids[-1])
        assert [frame.id for frame in connection.stored if frame.data["type"].startswith("source.")][3:] == ids
    await check_usable(stack, person, publisher, ids[-1])


@pytest.mark.parametrize("damage", [delete, wipe, empty, trim], ids=["deleted", "wiped", "emptied", "trimmed"])
async def test_the_seeds_client_cut_right_after_the_notice_misses_nothing(
    stack: Stack, person: Person, publisher: Publisher, damage: Damage
):
    """Defect I: it clears its cursor on the notice; without another it came back live, and what was between was lost."""
    ids = await publisher.publish(person, 10)
    with stack.valkey_client() as valkey:
        damage(valkey, backlog_key(person))
    async with DocsGptClient(stack.addresses[0], person.token, cursor=ids[0]) as client:
        await client.until(lambda seen: any(each["type"] == "backlog.truncated" for each in seen.events), within=5)
        await client.until(lambda seen: seen.cursor, within=5)
        client.cut()
        new = await publisher.publish(person, 3)
        await client.until(lambda seen: seen.events and seen.events[-1].get("id") == new[-1], within=10)
    seen = [event["id"] for event in client.events if event["type"].startswith("source.")]
    assert seen[-3:] == new
    assert in_order(seen)
    notices = [event["type"] for event in client.events].count("backlog.truncated")
    assert notices == 1 or (damage is empty and notices == 2)


async def test_what_is_older_than_the_floor_is_told_and_not_replayed(stack: Stack, person: Person, publisher: Publisher):
    now = int(time.time() * 1000)
    old = [f"{now - (FLOOR_HOURS + 1) * HOUR_MS + n}-0" for n in range(3)]
    young = [f"{now - (FLOOR_HOURS - 1) * HOUR_MS + n}-0" for n in range(3)]
    with stack.valkey_client() as valkey:
        for number, event_id in enumerate([*old, *young]):
            packed = json.dumps({"type": "source.ingest.progress", "data": {"payload": {"n": number}}, "at": now})
            valkey.xadd(backlog_key(person), {"e": packed}, id=event_id)
    async with Connection(stack.addresses[0], person.token, cursor=old[0]) as connection:
        await connection.until(lambda seen: len(seen.stored) == 3)
        assert connection.frames[0].data["payload"] == {"oldest_retained_id": young[0], "reason": "expired"}
        assert [frame.id for frame in connection.frames[1:]] == young
    async with Connection(stack.addresses[0], person.token, cursor=young[0]) as connection:
        await connection.until(lambda seen: len(seen.stored) == 2)
        assert [frame.id for frame in connection.frames] == young[1:]
    await check_usable(stack, person, publisher, young[-1])
