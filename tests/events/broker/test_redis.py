"""What is true of the broker on Redis alone; tests/contracts has what every broker does."""

import asyncio

import pytest
import redis

from events.broker.base import Appended, DurableAppend, OnceAppend
from events.broker.redis import IDLE_SECONDS
from events.event import START, EventId
from events.streams import Stream
from tests.events.conftest import BROKER, a_backlog, a_durable_stream, end, note, notes, numbers, packed, seqs, until

pytestmark = pytest.mark.skipif(BROKER != "redis", reason="is about the broker on Redis")

LIMIT = 100


async def opened(broker, lease=1):
    stream = a_durable_stream()
    assert await broker.fence(stream, lease) == START
    return stream


async def appended(broker, stream, events, *, lease=1, ended=False):
    return (await broker.append_durable([DurableAppend(stream, lease, events, ended=ended)]))[0]


async def read(broker, stream, cursor=START, *, limit=LIMIT):
    return (await broker.read([(stream, cursor)], limit=limit))[0]


async def filled(broker, count):
    stream = a_backlog()
    ids = await broker.append([(stream, packed(n)) for n in range(1, count + 1)])
    return stream, ids


async def error_of(call):
    try:
        await call()
    except Exception as error:
        return error
    return None


async def bells(listener, into):
    async for name in listener:
        into.append(name)


class TestDurable:
    async def test_a_stream_whose_entries_alone_were_evicted_is_lost(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        valkey.delete(broker._key(stream))
        assert await appended(broker, stream, notes(6, 6)) is Appended.LOST
        assert await broker.fence(stream, 1) == START

    async def test_an_ended_stream_expires_and_a_new_lease_keeps_it(self, broker, valkey, settings):
        settings.EVENTS_HOT_SECONDS = 100
        stream = await opened(broker)
        await appended(broker, stream, [note(1), end(2)], ended=True)
        for key in broker._keys(stream):
            assert 0 < valkey.ttl(key) <= 100
        await broker.fence(stream, 2)
        for key in broker._keys(stream):
            assert 100 < valkey.ttl(key) <= IDLE_SECONDS

    async def test_a_stream_whose_end_never_comes_leaves_the_broker_by_itself(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 3))
        for key in broker._keys(stream):
            assert 0 < valkey.ttl(key) <= IDLE_SECONDS

    async def test_a_missing_beginning_is_not_continuous(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        valkey.xtrim(broker._key(stream), minid="4-0", approximate=False)
        reading = await read(broker, stream, EventId(1, 0))
        assert (reading.continuous, reading.reason) == (False, "trimmed")
        assert (await read(broker, stream, EventId(3, 0))).continuous

    async def test_ids_stay_exact_beyond_what_lua_prints(self, broker, valkey):
        stream = await opened(broker)
        start = 10**15
        key, meta = broker._keys(stream)
        valkey.xadd(key, {"e": packed(start)}, id=f"{start}-0")
        valkey.hset(meta, "head", start)
        assert await appended(broker, stream, notes(start + 1, start + 3)) is Appended.OK
        assert seqs((await read(broker, stream, EventId(start, 0))).events) == [start + 1, start + 2, start + 3]


class TestBacklog:
    async def test_the_last_id_is_a_cursor_even_when_its_event_is_gone(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.xdel(broker._key(stream), str(ids[-1]))
        assert (await read(broker, stream, ids[-1])).continuous
        assert (await read(broker, stream, ids[-1])).events == []

    async def test_a_cursor_between_two_events_is_unknown(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.xdel(broker._key(stream), str(ids[1]))
        reading = await read(broker, stream, ids[1])
        assert (reading.continuous, reading.reason) == (False, "unknown_cursor")
        assert [event.id for event in reading.events] == [ids[0], ids[2]]

    async def test_an_unused_stream_expires(self, broker, valkey, settings):
        settings.EVENTS_REPLAY_MAX_AGE_HOURS = 1
        stream, _ = await filled(broker, 1)
        assert 3500 < valkey.ttl(broker._key(stream)) <= 3600


class TestLimits:
    async def test_the_stream_of_an_organisation_has_a_limit_of_its_own(self, broker, settings):
        settings.EVENTS_STREAM_MAXLEN, settings.EVENTS_TOPIC_MAXLEN = 100, 1000
        feed, topics = a_backlog(), Stream("org", f"org_{a_backlog().id}")
        for stream in (feed, topics):
            await broker.append([(stream, packed(n)) for n in range(900)])
        assert len((await read(broker, feed, limit=2000)).events) < 300
        assert (await read(broker, topics, limit=2000)).continuous
        once = [OnceAppend(topics, packed(n), f"key-{n}", 60) for n in range(900)]
        await broker.append_once(once)
        assert 1000 <= len((await read(broker, topics, limit=4000)).events) < 1400


class TestDoorbells:
    async def test_a_listener_keeps_nothing_of_streams_it_has_left(self, broker):
        heard = []
        async with broker.doorbells() as listener:
            await listener.add(Stream("user", "-"))
            listening = asyncio.create_task(bells(listener, heard))
            for _ in range(50):
                stream = a_backlog()
                await listener.add(stream)
                await listener.remove(stream)
            await until(lambda: len(heard) == 51)
            assert len(listener._pubsub.channels) + len(listener._pubsub.pending_unsubscribe_channels) <= 2
            listening.cancel()


class TestAway:
    async def test_a_broker_that_forgot_its_scripts_is_taught_them_again(self, broker, valkey):
        stream, _ = await filled(broker, 1)
        durable = await opened(broker)
        valkey.script_flush()
        await broker.append([(stream, packed(2)), (stream, packed(3))])
        assert await appended(broker, durable, notes(1, 2)) is Appended.OK
        assert numbers((await read(broker, stream)).events) == [1, 2, 3]

    async def test_one_round_trip_for_many_streams(self, broker, valkey, redis_url):
        stream, ids = await filled(broker, 3)
        await read(broker, stream)
        with redis.Redis.from_url(redis_url) as watching, watching.monitor() as monitor:
            await broker.read([(stream, START), (stream, ids[0])], limit=5)
            commands = []
            while not commands or b"marker" not in str(commands[-1]).encode():
                if not commands:
                    valkey.get("marker")
                commands.append(monitor.next_command()["command"])
        assert [each.split()[0] for each in commands if each.split()[0] in ("SCRIPT", "EVALSHA", "EVAL")] == ["EVALSHA"] * 2
