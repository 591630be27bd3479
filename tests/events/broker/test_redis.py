import asyncio
import uuid
from itertools import pairwise

import pytest
import redis

from events.broker.base import Appended, DurableAppend
from events.broker.connect import connect
from events.broker.redis import IDLE_SECONDS
from events.event import START, EventId
from events.exceptions import BrokerUnavailable
from events.streams import Stream
from tests.events.conftest import a_backlog, a_durable_stream, end, note, notes, numbers, packed, seqs, until

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
    async def test_events_are_read_as_they_were_appended(self, broker):
        stream = await opened(broker)
        assert await appended(broker, stream, notes(1, 5)) is Appended.OK
        assert await appended(broker, stream, notes(6, 7)) is Appended.OK
        assert (await read(broker, stream)).events == notes(1, 7)
        assert (await read(broker, stream, EventId(5, 0))).events == notes(6, 7)
        assert (await read(broker, stream, EventId(1, 0), limit=3)).events == notes(2, 4)
        assert await broker.heads([stream]) == [EventId(7, 0)]

    async def test_a_repeated_append_adds_only_what_is_not_there(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        assert await appended(broker, stream, notes(1, 5)) is Appended.OK
        assert await appended(broker, stream, notes(4, 8)) is Appended.OK
        assert (await read(broker, stream)).events == notes(1, 8)

    async def test_an_append_that_would_leave_a_gap_is_refused_as_lost(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        assert await appended(broker, stream, notes(7, 8)) is Appended.LOST
        assert (await read(broker, stream)).events == notes(1, 5)

    async def test_an_older_lease_is_stale(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 2))
        assert await broker.fence(stream, 2) == EventId(2, 0)
        assert await appended(broker, stream, notes(3, 3), lease=1) is Appended.STALE
        assert await broker.fence(stream, 1) is None
        assert await appended(broker, stream, notes(3, 3), lease=2) is Appended.OK
        assert (await read(broker, stream)).events == notes(1, 3)

    async def test_a_lease_the_broker_has_not_heard_of_is_lost(self, broker):
        stream = await opened(broker)
        assert await appended(broker, stream, notes(1, 1), lease=5) is Appended.LOST
        assert await appended(broker, a_durable_stream(), notes(1, 1)) is Appended.LOST

    async def test_a_wiped_stream_is_lost_until_it_is_seeded(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        valkey.flushall()
        assert await appended(broker, stream, notes(6, 6)) is Appended.LOST
        assert not (await read(broker, stream, EventId(5, 0))).exists
        assert await broker.fence(stream, 1) == START
        assert await broker.seed(stream, 1, notes(1, 5)) is Appended.OK
        assert await appended(broker, stream, notes(6, 6)) is Appended.OK
        assert (await read(broker, stream)).events == notes(1, 6)

    async def test_a_stream_whose_entries_alone_were_evicted_is_lost(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        valkey.delete(broker._key(stream))
        assert await appended(broker, stream, notes(6, 6)) is Appended.LOST
        assert await broker.fence(stream, 1) == START

    async def test_seeding_replaces_everything_at_once_and_stays(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 3))
        assert await broker.seed(stream, 1, notes(1, 2500)) is Appended.OK
        assert seqs((await read(broker, stream, limit=3000)).events) == list(range(1, 2501))
        assert 60 < valkey.ttl(broker._key(stream)) <= IDLE_SECONDS
        assert [key for key in valkey.keys("*") if b":seed:" in key] == []

    async def test_seeding_with_a_stale_lease_changes_nothing(self, broker, valkey):
        stream = await opened(broker, lease=3)
        await appended(broker, stream, notes(1, 3), lease=3)
        assert await broker.seed(stream, 2, notes(1, 9)) is Appended.STALE
        assert (await read(broker, stream)).events == notes(1, 3)
        assert [key for key in valkey.keys("*") if b":seed:" in key] == []

    async def test_readers_never_see_half_of_a_seeding(self, broker):
        stream = await opened(broker)
        await broker.seed(stream, 1, notes(1, 2000))
        lengths = set()

        async def look():
            while True:
                lengths.add(len((await read(broker, stream, limit=5000)).events))

        looking = asyncio.create_task(look())
        await until(lambda: lengths)
        await broker.seed(stream, 1, notes(1, 4000))
        await until(lambda: 4000 in lengths)
        looking.cancel()
        assert lengths == {2000, 4000}

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

    async def test_a_cursor_beyond_the_head_is_unknown(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        reading = await read(broker, stream, EventId(6, 0))
        assert (reading.continuous, reading.exists, reading.reason, reading.events) == (False, True, "unknown_cursor", [])
        assert (await read(broker, stream, EventId(5, 0))).continuous

    async def test_a_missing_beginning_is_not_continuous(self, broker, valkey):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        valkey.xtrim(broker._key(stream), minid="4-0", approximate=False)
        reading = await read(broker, stream, EventId(1, 0))
        assert (reading.continuous, reading.reason) == (False, "trimmed")
        assert (await read(broker, stream, EventId(3, 0))).continuous

    async def test_many_streams_in_one_round_trip_have_answers_of_their_own(self, broker):
        fresh, stale, lost = await opened(broker), await opened(broker, lease=9), a_durable_stream()
        appends = [DurableAppend(stream, 1, notes(1, 2)) for stream in (fresh, stale, lost)]
        assert await broker.append_durable(appends) == [Appended.OK, Appended.STALE, Appended.LOST]
        readings = await broker.read([(fresh, START), (stale, START), (lost, START)], limit=LIMIT)
        assert [len(reading.events) for reading in readings] == [2, 0, 0]

    async def test_ids_stay_exact_beyond_what_lua_prints(self, broker, valkey):
        stream = await opened(broker)
        start = 10**15
        key, meta = broker._keys(stream)
        valkey.xadd(key, {"e": packed(start)}, id=f"{start}-0")
        valkey.hset(meta, "head", start)
        assert await appended(broker, stream, notes(start + 1, start + 3)) is Appended.OK
        assert seqs((await read(broker, stream, EventId(start, 0))).events) == [start + 1, start + 2, start + 3]


class TestBacklog:
    async def test_events_get_rising_ids_and_are_read_in_order(self, broker):
        stream, ids = await filled(broker, 20)
        assert all(first < second for first, second in pairwise(ids))
        reading = await read(broker, stream)
        assert [event.id for event in reading.events] == ids
        assert numbers(reading.events) == list(range(1, 21))
        assert await broker.heads([stream, a_backlog()]) == [ids[-1], START]

    async def test_synchronous_code_appends_to_the_same_stream(self, broker):
        stream = a_backlog()
        ids = await asyncio.to_thread(broker.append_now, [(stream, packed(1)), (stream, packed(2))])
        assert [event.id for event in (await read(broker, stream)).events] == ids

    async def test_concurrent_appends_leave_every_event_once(self, broker):
        stream = a_backlog()

        async def publish(number):
            return [(await broker.append([(stream, packed(number * 100 + n))]))[0] for n in range(25)]

        ids = [each for ids in await asyncio.gather(*map(publish, range(8))) for each in ids]
        events = (await read(broker, stream, limit=1000)).events
        assert sorted(ids) == [event.id for event in events]
        assert len(set(numbers(events))) == 200

    async def test_every_retained_event_is_a_cursor(self, broker):
        stream, ids = await filled(broker, 30)
        for number, cursor in enumerate(ids):
            reading = await read(broker, stream, cursor)
            assert reading.continuous
            assert [event.id for event in reading.events] == ids[number + 1 :]

    async def test_a_read_is_limited(self, broker):
        stream, ids = await filled(broker, 30)
        for cursor, expected in ((START, ids[:7]), (ids[9], ids[10:17]), (ids[26], ids[27:])):
            assert [event.id for event in (await read(broker, stream, cursor, limit=7)).events] == expected

    async def test_the_last_id_is_a_cursor_even_when_its_event_is_gone(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.xdel(broker._key(stream), str(ids[-1]))
        assert (await read(broker, stream, ids[-1])).continuous
        assert (await read(broker, stream, ids[-1])).events == []

    async def test_trimming_is_told_with_everything_that_is_left(self, broker, settings):
        settings.EVENTS_STREAM_MAXLEN = 100
        stream, ids = await filled(broker, 1000)
        retained = (await read(broker, stream, START, limit=2000)).events
        assert 100 <= len(retained) < 300
        for cursor in (START, ids[0], ids[500]):
            reading = await read(broker, stream, cursor, limit=2000)
            assert (reading.continuous, reading.reason, reading.exists) == (False, "trimmed", True)
            assert reading.events == retained
        assert (await read(broker, stream, retained[0].id)).continuous

    async def test_an_untrimmed_stream_is_continuous_from_zero(self, broker):
        stream, _ = await filled(broker, 3)
        assert (await read(broker, stream, START)).continuous
        empty = await read(broker, a_backlog(), START)
        assert (empty.continuous, empty.exists, empty.events) == (True, False, [])

    async def test_a_cursor_on_a_stream_that_is_gone_is_expired(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.flushall()
        reading = await read(broker, stream, ids[-1])
        assert (reading.continuous, reading.exists, reading.reason, reading.events) == (False, False, "expired", [])

    @pytest.mark.parametrize("foreign", [EventId(5, 5), EventId(10**17, 0), EventId(10**18 - 1, 10**18 - 1)])
    async def test_a_foreign_cursor_is_unknown_and_brings_everything(self, broker, foreign):
        stream, ids = await filled(broker, 3)
        reading = await read(broker, stream, foreign)
        assert (reading.continuous, reading.reason) == (False, "unknown_cursor")
        assert [event.id for event in reading.events] == ids

    async def test_a_cursor_between_two_events_is_unknown(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.xdel(broker._key(stream), str(ids[1]))
        reading = await read(broker, stream, ids[1])
        assert (reading.continuous, reading.reason) == (False, "unknown_cursor")
        assert [event.id for event in reading.events] == [ids[0], ids[2]]

    async def test_a_cursor_from_before_a_flush_is_told_after_it(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        valkey.flushall()
        [after] = await broker.append([(stream, packed(4))])
        reading = await read(broker, stream, ids[-1])
        assert not reading.continuous
        assert [event.id for event in reading.events] == [after]

    async def test_an_unused_stream_expires(self, broker, valkey, settings):
        settings.EVENTS_REPLAY_MAX_AGE_HOURS = 1
        stream, _ = await filled(broker, 1)
        assert 3500 < valkey.ttl(broker._key(stream)) <= 3600


class TestDoorbells:
    async def test_subscribing_rings_once_and_then_every_append_does(self, broker):
        stream, durable, heard = a_backlog(), await opened(broker), []
        async with broker.doorbells() as listener:
            await listener.add(stream)
            listening = asyncio.create_task(bells(listener, heard))
            await until(lambda: heard == [stream.name])
            await broker.append([(stream, packed(1))])
            await until(lambda: heard == [stream.name] * 2)
            await listener.add(durable)
            await until(lambda: heard[2:] == [durable.name])
            await appended(broker, durable, notes(1, 3))
            await until(lambda: heard[3:] == [durable.name])
            await broker.seed(durable, 1, notes(1, 3))
            await until(lambda: heard[4:] == [durable.name])
            listening.cancel()

    async def test_when_a_bell_is_heard_the_event_can_be_read(self, broker):
        stream, seen = a_backlog(), []
        async with broker.doorbells() as listener:
            await listener.add(stream)

            async def follow():
                async for _ in listener:
                    seen.append(len((await read(broker, stream)).events))  # noqa: PERF401 - the test looks at it meanwhile

            following = asyncio.create_task(follow())
            await until(lambda: seen == [0])
            for count in range(1, 20):
                await broker.append([(stream, packed(count))])
                await until(lambda: len(seen) == count + 1)  # noqa: B023
                assert seen[-1] == count
            following.cancel()

    async def test_a_removed_stream_rings_no_more(self, broker, valkey):
        gone, kept, heard = a_backlog(), a_backlog(), []
        async with broker.doorbells() as listener:
            await listener.add(gone)
            await listener.add(kept)
            listening = asyncio.create_task(bells(listener, heard))
            await listener.remove(gone)
            await until(lambda: valkey.pubsub_numsub(broker._channel(gone.name))[0][1] == 0)
            await until(lambda: len(heard) == 2)
            await broker.append([(gone, packed(1)), (kept, packed(1))])
            await until(lambda: len(heard) == 3)
            assert heard[2] == kept.name
            listening.cancel()

    async def test_a_listener_that_loses_everything_can_be_used_again(self, broker):
        stream, heard = a_backlog(), []
        async with broker.doorbells() as listener:
            await listener.add(stream)
            listening = asyncio.create_task(bells(listener, heard))
            await listener.remove(stream)
            await listener.add(stream)
            await until(lambda: len(heard) == 2)
            await broker.append([(stream, packed(1))])
            await until(lambda: len(heard) == 3)
            listening.cancel()

    async def test_a_killed_connection_ends_the_listening(self, broker, valkey):
        heard = []
        async with broker.doorbells() as listener:
            await listener.add(a_backlog())
            listening = asyncio.create_task(bells(listener, heard))
            await until(lambda: heard)
            valkey.client_kill_filter(_type="pubsub")
            async with asyncio.timeout(5):
                with pytest.raises(BrokerUnavailable):
                    await listening

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


class TestLeases:
    async def test_a_touched_lease_is_alive_until_its_time_is_over(self, broker, valkey):
        name, other = uuid.uuid4().hex, uuid.uuid4().hex
        await broker.touch(name, seconds=30)
        assert await broker.alive([other, name]) == [False, True]
        assert 29_000 < valkey.pttl(broker._lease_key(name)) <= 30_000
        await broker.touch(name, seconds=0.05)
        async with asyncio.timeout(5):
            while await broker.alive([name]) == [True]:  # noqa: ASYNC110 - time passes in the broker
                await asyncio.sleep(0.01)
        assert await broker.alive([]) == []


class TestAway:
    @pytest.fixture
    async def proxied(self, valkey_proxy):
        broker = connect()
        yield broker
        valkey_proxy.restore()
        await broker.close()

    def calls(self, broker):
        durable, backlog = a_durable_stream(), a_backlog()
        return {
            "append_durable": lambda: broker.append_durable([DurableAppend(durable, 1, notes(1, 1))]),
            "fence": lambda: broker.fence(durable, 1),
            "seed": lambda: broker.seed(durable, 1, notes(1, 1)),
            "append": lambda: broker.append([(backlog, packed(1))]),
            "append_now": lambda: asyncio.to_thread(broker.append_now, [(backlog, packed(1))]),
            "read": lambda: broker.read([(durable, START), (backlog, START)], limit=1),
            "heads": lambda: broker.heads([durable, backlog]),
            "touch": lambda: broker.touch("x", seconds=1),
            "alive": lambda: broker.alive(["x"]),
            "ping": broker.ping,
        }

    async def test_every_call_says_so_and_works_again_afterwards(self, proxied, valkey_proxy):
        for call in self.calls(proxied).values():
            await call()
        valkey_proxy.cut()
        for name, call in self.calls(proxied).items():
            assert isinstance(await error_of(call), BrokerUnavailable), name
        valkey_proxy.restore()
        for call in self.calls(proxied).values():
            await call()

    async def test_a_frozen_broker_is_away_after_the_time_limit(self, proxied, valkey_proxy, monkeypatch):
        monkeypatch.setattr("events.broker.redis.COMMAND_SECONDS", 0.1)
        await proxied.ping()
        valkey_proxy.freeze()
        for name, call in self.calls(proxied).items():
            async with asyncio.timeout(3):
                assert isinstance(await error_of(call), BrokerUnavailable), name
        valkey_proxy.restore()
        # No later call may get an answer that was meant for one of those.
        stream, ids = await filled(proxied, 3)
        for _ in range(20):
            assert [event.id for event in (await read(proxied, stream)).events] == ids
            assert await proxied.heads([stream]) == [ids[-1]]

    async def test_a_publication_of_unknown_outcome_is_not_repeated(self, proxied, valkey_proxy, broker):
        stream = a_backlog()
        await proxied.append([(stream, packed(0))])
        await asyncio.to_thread(proxied.append_now, [(stream, packed(1))])
        for n, call in ((2, proxied.append), (3, lambda items: asyncio.to_thread(proxied.append_now, items))):
            valkey_proxy.swallow_answer()
            with pytest.raises(BrokerUnavailable):
                await call([(stream, packed(n))])
            valkey_proxy.restore()
        found = numbers((await read(broker, stream)).events)
        assert len(found) == len(set(found))

    async def test_listening_to_a_broker_that_is_away_says_so(self, proxied, valkey_proxy):
        valkey_proxy.cut()
        with pytest.raises(BrokerUnavailable):
            async with proxied.doorbells():
                pass

    async def test_a_broker_that_forgot_its_scripts_is_taught_them_again(self, broker, valkey):
        stream, _ = await filled(broker, 1)
        durable = await opened(broker)
        valkey.script_flush()
        await broker.append([(stream, packed(2)), (stream, packed(3))])
        assert await appended(broker, durable, notes(1, 2)) is Appended.OK
        assert numbers((await read(broker, stream)).events) == [1, 2, 3]

    async def test_one_round_trip_for_many_streams(self, broker, valkey):
        stream, ids = await filled(broker, 3)
        await read(broker, stream)
        with redis.Redis.from_url(broker._url) as watching, watching.monitor() as monitor:
            await broker.read([(stream, START), (stream, ids[0])], limit=5)
            commands = []
            while not commands or b"marker" not in str(commands[-1]).encode():
                if not commands:
                    valkey.get("marker")
                commands.append(monitor.next_command()["command"])
        assert [each.split()[0] for each in commands if each.split()[0] in ("SCRIPT", "EVALSHA", "EVAL")] == ["EVALSHA"] * 2
