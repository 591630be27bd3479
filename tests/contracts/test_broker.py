"""What every broker must do, whichever store it speaks to."""

import asyncio
import uuid
from itertools import pairwise

import pytest

from events.broker.base import Appended, DurableAppend, Entry, Here, OnceAppend
from events.event import START, EventId
from events.exceptions import BrokerUnavailable
from tests.events.conftest import a_backlog, a_durable_stream, notes, numbers, packed, seqs, until
from tests.patience import patiently

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

    async def test_a_wiped_stream_is_lost_until_it_is_seeded(self, broker, store):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        await store.wipe()
        assert await appended(broker, stream, notes(6, 6)) is Appended.LOST
        assert not (await read(broker, stream, EventId(5, 0))).exists
        assert await broker.fence(stream, 1) == START
        assert await broker.seed(stream, 1, notes(1, 5)) is Appended.OK
        assert await appended(broker, stream, notes(6, 6)) is Appended.OK
        assert (await read(broker, stream)).events == notes(1, 6)

    async def test_seeding_replaces_everything_at_once(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 3))
        assert await broker.seed(stream, 1, notes(1, 2500)) is Appended.OK
        assert seqs((await read(broker, stream, limit=3000)).events) == list(range(1, 2501))

    async def test_seeding_with_a_stale_lease_changes_nothing(self, broker):
        stream = await opened(broker, lease=3)
        await appended(broker, stream, notes(1, 3), lease=3)
        assert await broker.seed(stream, 2, notes(1, 9)) is Appended.STALE
        assert (await read(broker, stream)).events == notes(1, 3)

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

    async def test_a_cursor_beyond_the_head_is_unknown(self, broker):
        stream = await opened(broker)
        await appended(broker, stream, notes(1, 5))
        reading = await read(broker, stream, EventId(6, 0))
        assert (reading.continuous, reading.exists, reading.reason, reading.events) == (False, True, "unknown_cursor", [])
        assert (await read(broker, stream, EventId(5, 0))).continuous

    async def test_many_streams_in_one_round_trip_have_answers_of_their_own(self, broker):
        fresh, stale, lost = await opened(broker), await opened(broker, lease=9), a_durable_stream()
        appends = [DurableAppend(stream, 1, notes(1, 2)) for stream in (fresh, stale, lost)]
        assert await broker.append_durable(appends) == [Appended.OK, Appended.STALE, Appended.LOST]
        readings = await broker.read([(fresh, START), (stale, START), (lost, START)], limit=LIMIT)
        assert [len(reading.events) for reading in readings] == [2, 0, 0]


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

    async def test_a_cursor_on_a_stream_that_is_gone_is_expired(self, broker, store):
        stream, ids = await filled(broker, 3)
        await store.wipe()
        reading = await read(broker, stream, ids[-1])
        assert (reading.continuous, reading.exists, reading.reason, reading.events) == (False, False, "expired", [])

    @pytest.mark.parametrize("foreign", [EventId(5, 5), EventId(10**17, 0), EventId(10**18 - 1, 10**18 - 1)])
    async def test_a_foreign_cursor_is_unknown_and_brings_everything(self, broker, foreign):
        stream, ids = await filled(broker, 3)
        reading = await read(broker, stream, foreign)
        assert (reading.continuous, reading.reason) == (False, "unknown_cursor")
        assert [event.id for event in reading.events] == ids

    async def test_a_cursor_from_before_a_flush_is_told_after_it(self, broker, store):
        stream, ids = await filled(broker, 3)
        await store.wipe()
        [after] = await broker.append([(stream, packed(4))])
        reading = await read(broker, stream, ids[-1])
        assert not reading.continuous
        assert [event.id for event in reading.events] == [after]


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

    async def test_a_removed_stream_rings_no_more(self, broker):
        gone, kept, after, heard = a_backlog(), a_backlog(), a_backlog(), []
        async with broker.doorbells() as listener:
            await listener.add(gone)
            await listener.add(kept)
            listening = asyncio.create_task(bells(listener, heard))
            # Each server of a cluster tells in its own time that they were added.
            await until(lambda: {gone.name, kept.name} <= set(heard))
            await listener.remove(gone)
            # One after the other: who hears that this one was added has been taken from the other.
            await listener.add(after)
            await until(lambda: after.name in heard)
            heard.clear()
            await broker.append([(gone, packed(1)), (kept, packed(1))])
            await until(lambda: heard)
            assert heard == [kept.name]
            listening.cancel()

    async def test_a_listener_that_loses_everything_can_be_used_again(self, broker):
        stream, after, heard = a_backlog(), a_backlog(), []
        async with broker.doorbells() as listener:
            await listener.add(stream)
            listening = asyncio.create_task(bells(listener, heard))
            await listener.remove(stream)
            await listener.add(stream)
            await listener.add(after)
            await until(lambda: {stream.name, after.name} <= set(heard))
            heard.clear()
            await broker.append([(stream, packed(1))])
            await until(lambda: heard)
            assert set(heard) == {stream.name}
            listening.cancel()

    async def test_a_lost_connection_ends_the_listening(self, proxied, store):
        heard = []
        async with proxied.doorbells() as listener:
            await listener.add(a_backlog())
            listening = asyncio.create_task(bells(listener, heard))
            await until(lambda: heard)
            store.proxy.cut()
            async with asyncio.timeout(patiently(5)):
                with pytest.raises(BrokerUnavailable):
                    await listening


class TestLeases:
    async def test_a_touched_lease_is_alive_until_its_time_is_over(self, broker):
        name, other = uuid.uuid4().hex, uuid.uuid4().hex
        await broker.touch(name, seconds=30)
        assert await broker.alive([other, name]) == [False, True]
        await broker.touch(name, seconds=0.05)
        async with asyncio.timeout(patiently(5)):
            while await broker.alive([name]) == [True]:  # noqa: ASYNC110 - time passes in the broker
                await asyncio.sleep(0.01)
        assert await broker.alive([]) == []


class TestAway:
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
            "append_once": lambda: broker.append_once([OnceAppend(backlog, packed(1), uuid.uuid4().hex, 60)]),
            "admit": lambda: broker.admit("x", uuid.uuid4().hex, slots=0, seconds=1, replays=0, window=1),
            "hold": lambda: broker.hold([Entry("place:x", "u", "c")], seconds=1, epoch=""),
            "here": lambda: broker.here("place:x", limit=9),
            "take_out": broker.take_out,
            "boards": lambda: broker.boards(["t"]),
            "ping": broker.ping,
            "facts": broker.facts,
        }

    async def test_every_call_says_so_and_works_again_afterwards(self, proxied, store):
        for call in self.calls(proxied).values():
            await call()
        store.proxy.cut()
        for name, call in self.calls(proxied).items():
            assert isinstance(await error_of(call), BrokerUnavailable), name
        store.proxy.restore()
        for call in self.calls(proxied).values():
            await call()

    async def test_a_frozen_broker_is_away_after_the_time_limit(self, proxied, store, monkeypatch):
        monkeypatch.setattr(f"{store.module}.COMMAND_SECONDS", 0.1)
        await proxied.ping()
        store.proxy.freeze()
        for name, call in self.calls(proxied).items():
            async with asyncio.timeout(patiently(3)):
                assert isinstance(await error_of(call), BrokerUnavailable), name
        store.proxy.restore()
        # No later call may get an answer that was meant for one of those.
        stream, ids = await filled(proxied, 3)
        for _ in range(20):
            assert [event.id for event in (await read(proxied, stream)).events] == ids
            assert await proxied.heads([stream]) == [ids[-1]]

    async def test_a_publication_of_unknown_outcome_is_not_repeated(self, proxied, store, broker):
        stream = a_backlog()
        await proxied.append([(stream, packed(0))])
        await asyncio.to_thread(proxied.append_now, [(stream, packed(1))])
        for n, call in ((2, proxied.append), (3, lambda items: asyncio.to_thread(proxied.append_now, items))):
            store.proxy.swallow_answer()
            with pytest.raises(BrokerUnavailable):
                await call([(stream, packed(n))])
            store.proxy.restore()
        found = numbers((await read(broker, stream)).events)
        assert len(found) == len(set(found))

    async def test_listening_to_a_broker_that_is_away_says_so(self, proxied, store):
        store.proxy.cut()
        with pytest.raises(BrokerUnavailable):
            async with proxied.doorbells():
                pass


class TestOnce:
    async def test_an_event_with_a_known_key_is_not_appended_again_and_has_the_first_ones_id(self, broker):
        stream, other = a_backlog(), a_backlog()
        [first] = await broker.append_once([OnceAppend(stream, packed(1), "k", 60)])
        [again] = await asyncio.to_thread(broker.append_once_now, [OnceAppend(stream, packed(2), "k", 60)])
        assert again == first
        [elsewhere, next_one] = await broker.append_once(
            [OnceAppend(other, packed(1), "k", 60), OnceAppend(stream, packed(3), "l", 60)]
        )
        assert elsewhere != first
        assert [event.id for event in (await read(broker, stream)).events] == [first, next_one]
        assert numbers((await read(broker, stream)).events) == [1, 3]

    async def test_of_many_at_once_with_one_key_one_is_appended(self, broker):
        stream = a_backlog()
        ids = await asyncio.gather(*(broker.append_once([OnceAppend(stream, packed(n), "k", 60)]) for n in range(20)))
        assert len({each for [each] in ids}) == 1
        assert len((await read(broker, stream)).events) == 1


class TestSlots:
    async def test_so_many_are_admitted_and_a_released_one_makes_room(self, broker):
        name = uuid.uuid4().hex
        admitted = [await broker.admit(name, str(n), slots=2, seconds=30, replays=0, window=1) for n in range(3)]
        assert [each.used_up for each in admitted] == ["", "", "concurrent"]
        assert admitted[2].wait > 0
        await broker.release_slot(name, "0")
        assert not (await broker.admit(name, "4", slots=2, seconds=30, replays=0, window=1)).used_up

    async def test_a_hundred_at_once_are_not_one_too_many(self, broker):
        name = uuid.uuid4().hex
        admitted = await asyncio.gather(
            *(broker.admit(name, str(n), slots=7, seconds=30, replays=0, window=1) for n in range(100))
        )
        assert sum(not each.used_up for each in admitted) == 7

    async def test_a_slot_ends_by_itself_unless_it_is_kept(self, broker):
        name = uuid.uuid4().hex
        for member in "ab":
            await broker.admit(name, member, slots=2, seconds=0.5, replays=0, window=1)
        await broker.keep_slots({name: ["a"]}, seconds=30)
        async with asyncio.timeout(patiently(5)):
            while (await broker.admit(name, "c", slots=2, seconds=30, replays=0, window=1)).used_up:  # noqa: ASYNC110 - time passes in the broker
                await asyncio.sleep(0.02)
        assert (await broker.admit(name, "d", slots=2, seconds=30, replays=0, window=1)).used_up

    async def test_refused_replays_count_for_nothing_and_the_window_slides(self, broker):
        name = uuid.uuid4().hex
        admitted = [await broker.admit(name, str(n), slots=0, seconds=30, replays=2, window=1) for n in range(5)]
        assert [each.used_up for each in admitted] == ["", "", "replays", "replays", "replays"]
        assert all(0 < each.wait <= 1.1 for each in admitted[2:])
        async with asyncio.timeout(patiently(5)):
            while (await broker.admit(name, "x", slots=0, seconds=30, replays=2, window=1)).used_up:  # noqa: ASYNC110 - time passes in the broker
                await asyncio.sleep(0.02)


def entry(user, connection, place="workspace:w"):
    return Entry(place, user, connection)


class TestPresence:
    async def test_a_user_comes_with_the_first_connection_and_goes_with_the_last(self, broker):
        held = await broker.hold([entry("u", "1"), entry("u", "2"), entry("v", "1")], seconds=30, epoch="")
        assert held.new == [True, False, True]
        assert (await broker.here("workspace:w", limit=9)) == Here(2, ["u", "v"])
        assert (await broker.here("workspace:w", limit=1)).count == 2
        assert (await broker.here("workspace:other", limit=9)) == Here(0, [])
        assert await broker.let_go([entry("u", "1"), entry("u", "2")], seconds=30, epoch=held.epoch) == [False, True]
        assert await broker.let_go([entry("u", "2")], seconds=30, epoch=held.epoch) == [False]
        assert await broker.here("workspace:w", limit=9) == Here(1, ["v"])

    async def test_of_many_at_once_one_is_the_first_and_one_the_last(self, broker, store):
        others = [store.broker() for _ in range(3)]
        held = await asyncio.gather(
            *(
                each.hold([entry("u", f"{n} {k}".replace(" ", "-"))], seconds=30, epoch="")
                for n, each in enumerate(others)
                for k in range(20)
            )
        )
        assert sum(each.new[0] for each in held) == 1
        gone = await asyncio.gather(
            *(
                each.let_go([entry("u", f"{n}-{k}")], seconds=30, epoch=held[0].epoch)
                for n, each in enumerate(others)
                for k in range(20)
            )
        )
        assert sum(each[0] for each in gone) == 1
        for each in others:
            await each.close()

    async def test_who_is_held_no_longer_is_taken_out_once(self, broker, store):
        other = store.broker()
        await broker.hold([entry("u", "1"), entry("v", "1"), entry("v", "2", "workspace:x")], seconds=0.2, epoch="")
        await broker.hold([entry("v", "2")], seconds=30, epoch="")
        left = []
        async with asyncio.timeout(patiently(5)):
            while len(left) < 2:
                for users in await asyncio.gather(broker.take_out(), other.take_out()):
                    left += users
        assert sorted(left) == [("workspace:w", "u"), ("workspace:x", "v")]
        assert await broker.here("workspace:w", limit=9) == Here(1, ["v"])
        assert await broker.take_out() == []
        await other.close()

    async def test_after_a_wipe_nobody_is_said_to_have_left(self, broker, store):
        held = await broker.hold([entry("u", "1")], seconds=30, epoch="")
        await store.wipe()
        assert await broker.let_go([entry("u", "1")], seconds=1, epoch=held.epoch) == [False]
        again = await broker.hold([entry("v", "1")], seconds=1, epoch=held.epoch)
        assert again.epoch != held.epoch


class TestBoards:
    async def test_fields_are_set_and_removed_and_tables_replaced(self, broker):
        owner, other = f"host:1:{uuid.uuid4().hex}", f"host:2:{uuid.uuid4().hex}"
        assert not await broker.post(owner, {"t": {"a": "1"}}, seconds=30, whole=False)
        assert await broker.post(owner, {"t": {"a": "1", "ö .*>": "2"}, "s": {"x": "y"}}, seconds=30, whole=True)
        assert await broker.post(other, {"t": {"b": "9"}, "s": {}}, seconds=30, whole=True)
        assert await broker.post(owner, {"t": {"a": None, "c": "3"}}, seconds=30, whole=False)
        assert await broker.boards(["t", "s"]) == {owner: [{"ö .*>": "2", "c": "3"}, {"x": "y"}], other: [{"b": "9"}, {}]}
        assert await broker.post(owner, {"t": {"d": "4"}, "s": {}}, seconds=30, whole=True)
        assert await broker.boards(["t"]) == {owner: [{"d": "4"}], other: [{"b": "9"}]}
        await broker.take_down(other, ["t", "s"])
        assert list(await broker.boards(["t"])) == [owner]

    async def test_a_board_runs_out_and_is_then_begun_anew(self, broker, store):
        owner = uuid.uuid4().hex
        await broker.post(owner, {"t": {"a": "1"}}, seconds=0.2, whole=True)
        async with asyncio.timeout(patiently(5)):
            while await broker.boards(["t"]):  # noqa: ASYNC110 - time passes in the broker
                await asyncio.sleep(0.02)
        assert not await broker.post(owner, {"t": {"b": "1"}}, seconds=30, whole=False)
        assert await broker.post(owner, {"t": {"b": "1"}}, seconds=30, whole=True)
        assert await broker.boards(["t"]) == {owner: [{"b": "1"}]}
        await store.wipe()
        assert not await broker.post(owner, {"t": {"c": "1"}}, seconds=30, whole=False)


async def test_it_says_what_it_is(broker):
    facts = await broker.facts()
    assert (facts.needs, facts.write_errors, facts.loading, facts.eviction) == ("", [], False, "noeviction")
    assert facts.name in ("Valkey", "Redis", "NATS")
    assert facts.version[0].isdigit()
