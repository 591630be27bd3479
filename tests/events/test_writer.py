import asyncio
import contextlib

import pytest

from accounts.threads import in_thread
from events import journal
from events.broker.connect import connect
from events.event import START
from events.exceptions import LeaseLost, Unavailable
from events.feed import Feed
from events.hub import close_hub, current_hub
from events.writer import Writer, drain
from tests.events.conftest import DELTA, END, NOTE, a_durable_stream, begin, notes, seqs, until
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("journal_db")


@pytest.fixture(autouse=True)
def _soon(settings, monkeypatch):
    settings.JOURNAL_FLUSH_MS = 20
    monkeypatch.setattr("events.writer.RETRY_SECONDS", 0.05)


@pytest.fixture
async def writer(valkey):
    writer = Writer(broker=connect(), flush_ms=10)
    writer.start()
    yield writer
    await writer.close()
    await writer.broker.close()


async def opened(writer, *, events=()):
    stream = a_durable_stream()
    lease = await in_thread(begin, stream, events=events)
    return await writer.open(stream=stream, lease=lease)


async def hot(broker, stream, cursor=START):
    return (await broker.read([(stream, cursor)], limit=10_000))[0].events


async def cold(stream):
    return await in_thread(journal.read, stream, START)


async def reaches(read, count, *, seconds=10):
    """Waits until `read()` gives so many events, and returns them; a store that is just coming back may fail."""
    async with asyncio.timeout(patiently(seconds)):
        while True:
            with contextlib.suppress(Unavailable):
                if len(events := await read()) >= count:
                    return events
            await asyncio.sleep(0.005)


def text_of(events):
    return "".join(event.data["text"] for event in events if event.type == DELTA.name)


def say(each, text, *, block=0, **kwargs):
    each.append(DELTA.name, {"block": block, "text": text}, **kwargs)


class TestMerging:
    async def test_text_within_one_pause_becomes_one_event(self, valkey):
        writer = Writer(broker=connect(), flush_ms=50)
        each = await opened(writer)
        for part in ("one ", "two ", "three"):
            say(each, part)
        say(each, "other", block=1)
        each.append(NOTE.name, {"n": 1})
        say(each, "last", block=1)
        writer.start()
        events = await reaches(lambda: hot(writer.broker, each.stream), 4)
        assert [(event.type, event.data) for event in events] == [
            (DELTA.name, {"block": 0, "text": "one two three"}),
            (DELTA.name, {"block": 1, "text": "other"}),
            (NOTE.name, {"n": 1}),
            (DELTA.name, {"block": 1, "text": "last"}),
        ]
        assert seqs(events) == [1, 2, 3, 4]
        await writer.close()
        assert await cold(each.stream) == events
        await writer.broker.close()

    async def test_the_first_word_does_not_wait_for_the_pause(self, valkey):
        writer = Writer(broker=connect(), flush_ms=60_000)
        writer.start()
        each = await opened(writer)
        say(each, "first", at_once=True)
        assert text_of(await reaches(lambda: hot(writer.broker, each.stream), 1, seconds=3)) == "first"
        say(each, "second")
        say(each, " third", at_once=True)
        assert text_of(await reaches(lambda: hot(writer.broker, each.stream), 2, seconds=3)) == "firstsecond third"
        await writer.close()
        await writer.broker.close()

    async def test_long_text_is_split_into_events_below_the_limit(self, writer):
        each = await opened(writer)
        text = "\U0001f600é" * 20_000
        say(each, text)
        events = await reaches(lambda: hot(writer.broker, each.stream), 5)
        assert text_of(events) == text
        assert seqs(events) == list(range(1, len(events) + 1))

    async def test_what_was_handed_over_is_not_changed(self, writer):
        each = await opened(writer)
        data = {"block": 0, "text": "a"}
        each.append(DELTA.name, data)
        each.append(DELTA.name, data)
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        assert data == {"block": 0, "text": "a"}

    async def test_the_next_id_is_the_id_of_the_next_event(self, writer):
        each = await opened(writer, events=notes(1, 2))
        say(each, "merged")
        assert each.next_id() == 4
        each.append(NOTE.name, {"n": 4})
        events = await reaches(lambda: hot(writer.broker, each.stream), 4)
        assert [event.type for event in events] == [NOTE.name, NOTE.name, DELTA.name, NOTE.name]


class TestJournaling:
    async def test_broker_and_journal_end_with_the_same_events(self, writer):
        each = await opened(writer)
        for n in range(300):
            say(each, f"{n} ")
            if n % 7 == 0:
                each.append(NOTE.name, {"n": n})
            if n % 50 == 0:
                await asyncio.sleep(0.01)
        await writer.end(each, events=[(END.name, {})])
        events = await cold(each.stream)
        assert events == await hot(writer.broker, each.stream)
        assert text_of(events) == "".join(f"{n} " for n in range(300))
        assert seqs(events) == list(range(1, len(events) + 1))
        assert events[-1].type == END.name
        assert writer.waiting == 0

    async def test_many_waiting_events_are_journaled_without_waiting_longer(self, writer, settings):
        settings.JOURNAL_FLUSH_MS = 60_000
        settings.JOURNAL_FLUSH_EVENTS = 8
        await asyncio.sleep(0.03)  # the pause under way is over
        each = await opened(writer)
        for n in range(8):
            each.append(NOTE.name, {"n": n})
        assert len(await reaches(lambda: cold(each.stream), 8, seconds=3)) == 8

    async def test_closing_journals_what_was_only_said(self, valkey):
        writer = Writer(broker=connect(), flush_ms=60_000)
        writer.start()
        each = await opened(writer)
        say(each, "not yet sent")
        await writer.close()
        assert text_of(await cold(each.stream)) == "not yet sent"
        await writer.broker.close()

    async def test_text_that_the_database_refuses_is_made_storable_and_stops_nobody(self, writer):
        bad, good = await opened(writer), await opened(writer)
        say(bad, "a\x00b\ud800c")
        bad.append(NOTE.name, {"n": [{"k\x00": "\udfff"}], "emoji": "\ud83d\ude00"})
        good.append(NOTE.name, {"n": 1})
        assert len(await reaches(lambda: cold(good.stream), 1)) == 1
        events = await reaches(lambda: cold(bad.stream), 2)
        assert [event.data for event in events] == [
            {"block": 0, "text": "a\ufffdb\ufffdc"},
            {"n": [{"k\ufffd": "\ufffd"}], "emoji": "\U0001f600"},
        ]
        assert await reaches(lambda: hot(writer.broker, bad.stream), 2) == events

    async def test_an_emoji_cut_between_two_pieces_is_whole(self, writer):
        each = await opened(writer)
        say(each, "a\ud83d")
        say(each, "\ude00b")
        await writer.end(each, events=[(END.name, {})])
        assert text_of(await cold(each.stream)) == "a\U0001f600b"


class TestFencing:
    async def test_a_writer_that_was_replaced_cannot_append(self, writer, valkey):
        each = await opened(writer)
        each.append(NOTE.name, {"n": 1})
        await reaches(lambda: cold(each.stream), 1)
        other = Writer(broker=connect(), flush_ms=10)
        other.start()
        successor = await other.open(stream=each.stream, lease=await in_thread(journal.take_lease, stream=each.stream))
        each.append(NOTE.name, {"n": "too late"})
        async with asyncio.timeout(patiently(5)):
            await each.fenced.wait()
        with pytest.raises(LeaseLost):
            each.append(NOTE.name, {"n": "later still"})
        successor.append(NOTE.name, {"n": 2})
        await reaches(lambda: cold(each.stream), 2)
        await reaches(lambda: hot(other.broker, each.stream), 2)
        await other.end(successor, events=[(END.name, {})])
        for events in (await cold(each.stream), await hot(other.broker, each.stream)):
            assert [event.data for event in events] == [{"n": 1}, {"n": 2}, {}]
        await other.close()
        await other.broker.close()

    async def test_it_cannot_end_the_stream_either(self, writer):
        each = await opened(writer)
        await in_thread(journal.take_lease, stream=each.stream)
        with pytest.raises(LeaseLost):
            await writer.end(each, events=[(END.name, {})], also=lambda: pytest.fail("ended twice"))
        assert await cold(each.stream) == []
        assert await hot(writer.broker, each.stream) == []

    async def test_a_stale_lease_does_not_open(self, writer):
        each = await opened(writer)
        await in_thread(journal.take_lease, stream=each.stream)
        await writer.broker.fence(each.stream, each.lease + 1)
        with pytest.raises(LeaseLost):
            await writer.open(stream=each.stream, lease=each.lease)


class TestEnding:
    async def test_the_end_is_told_once_after_it_is_committed(self, writer):
        each = await opened(writer)
        seen = []

        def also():
            seen.append(valkey_has_end())

        def valkey_has_end():
            future = asyncio.run_coroutine_threadsafe(hot(writer.broker, each.stream), loop)
            return [event.type for event in future.result(5)]

        loop = asyncio.get_running_loop()
        say(each, "text", at_once=True)
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        await writer.end(each, events=[(END.name, {})], also=also)
        assert seen == [[DELTA.name]]
        assert [event.type for event in await hot(writer.broker, each.stream)] == [DELTA.name, END.name]
        with pytest.raises(LeaseLost):
            await in_thread(journal.take_lease, stream=each.stream)

    async def test_a_transaction_that_fails_leaves_no_end_anywhere(self, writer):
        each = await opened(writer)
        say(each, "text")
        with pytest.raises(ZeroDivisionError):
            await writer.end(each, events=[(END.name, {})], also=lambda: 1 / 0)
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        await reaches(lambda: cold(each.stream), 1)
        await writer.close()
        assert [event.type for event in await cold(each.stream)] == [DELTA.name]
        assert [event.type for event in await hot(writer.broker, each.stream)] == [DELTA.name]

    async def test_an_end_that_waits_for_the_database_is_seen_by_nobody(self, writer, postgres_proxy):
        each = await opened(writer)
        say(each, "text", at_once=True)
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        postgres_proxy.cut()
        ending = asyncio.create_task(writer.end(each, events=[(END.name, {})]))
        await until(lambda: each.busy.locked())
        assert [event.type for event in await hot(writer.broker, each.stream)] == [DELTA.name]
        postgres_proxy.restore()
        async with asyncio.timeout(patiently(10)):
            await ending
        assert [event.type for event in await reaches(lambda: cold(each.stream), 2)] == [DELTA.name, END.name]
        assert [event.type for event in await hot(writer.broker, each.stream)] == [DELTA.name, END.name]

    async def test_an_end_given_up_is_not_journaled_without_its_transaction(self, writer, postgres_proxy):
        """The process stops while the database is away: whoever takes over must be able to end the run."""
        each = await opened(writer)
        say(each, "text")
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        postgres_proxy.cut()
        ending = asyncio.create_task(writer.end(each, events=[(END.name, {})]))
        await until(lambda: each.busy.locked())
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        postgres_proxy.restore()
        await reaches(lambda: cold(each.stream), 1)
        await writer.close()
        assert [event.type for event in await cold(each.stream)] == [DELTA.name]

    async def test_an_end_while_the_broker_is_away_is_in_the_journal(self, valkey_proxy, valkey, broker):
        writer = Writer(broker=connect(), flush_ms=10)
        writer.start()
        each = await opened(writer)
        say(each, "text", at_once=True)
        await reaches(lambda: hot(broker, each.stream), 1)
        valkey_proxy.cut()
        async with asyncio.timeout(patiently(5)):
            await writer.end(each, events=[(END.name, {})])
        assert [event.type for event in await cold(each.stream)] == [DELTA.name, END.name]
        valkey_proxy.restore()
        await writer.close()
        await writer.broker.close()

    async def test_an_end_after_a_flush_puts_everything_back(self, writer, valkey):
        each = await opened(writer, events=notes(1, 3))
        say(each, "text")
        await reaches(lambda: cold(each.stream), 4)
        valkey.flushall()
        await writer.end(each, events=[(END.name, {})])
        assert await hot(writer.broker, each.stream) == await cold(each.stream)
        assert valkey.ttl(writer.broker._key(each.stream)) > 0

    async def test_a_repair_that_was_begun_before_the_end_tells_no_end_too_early(self, writer, valkey):
        each = await opened(writer)
        say(each, "text", at_once=True)
        await reaches(lambda: cold(each.stream), 1)
        loop, seen = asyncio.get_running_loop(), []

        def also():
            seen.extend(asyncio.run_coroutine_threadsafe(hot(writer.broker, each.stream), loop).result(5))

        await each.busy.acquire()
        valkey.flushall()
        say(each, "more", at_once=True)
        await until(lambda: each.busy._waiters)
        ending = asyncio.create_task(writer.end(each, events=[(END.name, {})], also=also))
        await until(lambda: len(each.busy._waiters) == 2)
        each.busy.release()
        async with asyncio.timeout(patiently(5)):
            await ending
        assert END.name not in [event.type for event in seen]
        assert await hot(writer.broker, each.stream) == await cold(each.stream)


class TestStoresAway:
    async def test_without_the_broker_events_are_kept_journaled_and_sent_later(self, valkey_proxy, broker):
        writer = Writer(broker=connect(), flush_ms=5)
        writer.start()
        each = await opened(writer)
        say(each, "before ", at_once=True)
        await reaches(lambda: hot(broker, each.stream), 1)
        valkey_proxy.cut()
        for n in range(20):
            say(each, f"{n} ", block=n % 2)
        await reaches(lambda: cold(each.stream), 2)
        assert len(await hot(broker, each.stream)) == 1
        valkey_proxy.restore()
        events = await reaches(lambda: hot(broker, each.stream), 21)
        assert text_of(events) == "before " + "".join(f"{n} " for n in range(20))
        await writer.end(each, events=[(END.name, {})])
        assert await cold(each.stream) == await hot(broker, each.stream)
        await writer.close()
        await writer.broker.close()

    async def test_an_answer_lost_on_the_way_repeats_nothing(self, valkey_proxy, broker):
        writer = Writer(broker=connect(), flush_ms=5)
        writer.start()
        each = await opened(writer)
        for n in range(5):
            valkey_proxy.swallow_answer()
            each.append(NOTE.name, {"n": n}, at_once=True)
            await reaches(lambda: hot(broker, each.stream), n + 1)
            valkey_proxy.restore()
        await writer.end(each, events=[(END.name, {})])
        events = await hot(broker, each.stream)
        assert [event.data.get("n") for event in events] == [0, 1, 2, 3, 4, None]
        assert events == await cold(each.stream)
        await writer.close()
        await writer.broker.close()

    async def test_without_the_database_live_events_go_on_and_are_journaled_later(self, writer, postgres_proxy):
        each = await opened(writer)
        postgres_proxy.cut()
        for n in range(20):
            each.append(NOTE.name, {"n": n}, at_once=True)
        assert len(await reaches(lambda: hot(writer.broker, each.stream), 20, seconds=3)) == 20
        assert not each.fenced.is_set()
        postgres_proxy.restore()
        assert len(await reaches(lambda: cold(each.stream), 20)) == 20

    @pytest.mark.parametrize("flushes", [1, 4])
    async def test_a_flush_in_the_middle_loses_nothing(self, writer, valkey, flushes):
        each = await opened(writer)
        running = True

        async def talk():
            n = 0
            while running:
                each.append(NOTE.name, {"n": n})
                n += 1
                await asyncio.sleep(0.0005)
            return n

        talking = asyncio.create_task(talk())
        for _ in range(flushes):
            before = each.head
            await until(lambda: each.head > before + 30)  # noqa: B023
            valkey.flushall()
            await reaches(lambda: hot(writer.broker, each.stream), before)
        running = False
        count = await talking
        await writer.end(each, events=[(END.name, {})])
        assert not each.fenced.is_set()
        for events in (await cold(each.stream), await hot(writer.broker, each.stream)):
            assert [event.data.get("n") for event in events] == [*range(count), None]

    async def test_a_flush_just_before_the_end_tells_no_end_too_early(self, writer, valkey):
        each = await opened(writer)
        committed = asyncio.Event()
        early = []

        async def watch():
            while not committed.is_set():
                for events in (await hot(writer.broker, each.stream), await cold(each.stream)):
                    if any(event.type == END.name for event in events):
                        early.append(await in_thread(journal.heads, [each.stream]))  # noqa: PERF401

        watching = asyncio.create_task(watch())
        say(each, "text", at_once=True)
        await reaches(lambda: hot(writer.broker, each.stream), 1)
        valkey.flushall()
        say(each, "more", at_once=True)
        await asyncio.sleep(0)
        await writer.end(each, events=[(END.name, {})])
        committed.set()
        await watching
        assert all(heads[each.stream.name].ended for heads in early)
        assert text_of(await cold(each.stream)) == "textmore"

    async def test_a_flush_while_the_database_is_away_is_repaired_when_it_is_back(self, writer, valkey, postgres_proxy):
        each = await opened(writer, events=notes(1, 5))
        postgres_proxy.cut()
        valkey.flushall()
        for n in range(6, 10):
            each.append(NOTE.name, {"n": n}, at_once=True)
        await asyncio.sleep(0.1)
        postgres_proxy.restore()
        events = await reaches(lambda: hot(writer.broker, each.stream), 9)
        assert [event.data["n"] for event in events] == list(range(1, 10))


class TestTakingOver:
    async def test_what_a_dead_writer_only_sent_is_journaled(self, writer):
        stream = a_durable_stream()
        lease = await in_thread(begin, stream, events=notes(1, 2))
        await writer.broker.fence(stream, lease)
        await writer.broker.seed(stream, lease, notes(1, 700))
        lease = await in_thread(journal.take_lease, stream=stream)
        each = await writer.open(stream=stream, lease=lease)
        assert each.head == 700
        assert seqs(await cold(stream)) == list(range(1, 701))
        each.append(NOTE.name, {"n": 701})
        await reaches(lambda: hot(writer.broker, stream), 701)

    async def test_what_a_dead_writer_only_journaled_is_put_back(self, writer):
        stream = a_durable_stream()
        lease = await in_thread(begin, stream, events=notes(1, 9))
        await writer.broker.fence(stream, lease)
        await writer.broker.seed(stream, lease, notes(1, 4))
        lease = await in_thread(journal.take_lease, stream=stream)
        assert await drain(writer.broker, stream=stream, lease=lease) == notes(1, 9)
        assert await hot(writer.broker, stream) == notes(1, 9)

    async def test_a_broker_that_knows_nothing_is_given_everything(self, writer):
        each = await opened(writer, events=notes(1, 9))
        assert await hot(writer.broker, each.stream) == notes(1, 9)
        assert each.head == 9

    async def test_draining_under_a_stale_lease_is_refused(self, writer):
        stream = a_durable_stream()
        lease = await in_thread(begin, stream)
        await writer.broker.fence(stream, lease)
        await writer.broker.seed(stream, lease, notes(1, 3))
        await in_thread(journal.take_lease, stream=stream)
        with pytest.raises(LeaseLost):
            await drain(writer.broker, stream=stream, lease=lease)
        assert await cold(stream) == []


async def test_a_released_stream_is_written_no_more(writer):
    each = await opened(writer)
    each.append(NOTE.name, {"n": 1})
    await reaches(lambda: cold(each.stream), 1)
    writer.release(each)
    each.append(NOTE.name, {"n": 2})
    assert writer.waiting == 0


async def test_readers_follow_a_writer_word_by_word(writer):
    each = await opened(writer)
    hub, parts = current_hub(), []

    async def read():
        async with Feed(hub=hub, stream=each.stream, cursor=START) as feed:
            while (batch := await feed.next()) is not None:
                parts.extend(batch.events)

    reading = asyncio.create_task(read())
    for n in range(50):
        say(each, f"{n} ")
        await asyncio.sleep(0.002)
    await writer.end(each, events=[(END.name, {})])
    async with asyncio.timeout(patiently(5)):
        await reading
    assert text_of(parts) == "".join(f"{n} " for n in range(50))
    assert parts[-1].type == END.name
    await close_hub()


async def test_what_ends_a_stream_is_seen_together_or_not_at_all(writer):
    each = await opened(writer)
    each.append(NOTE.name, {"n": 1})
    with pytest.raises(ZeroDivisionError):
        await writer.end(each, events=[(NOTE.name, {"n": 2}), (END.name, {})], also=lambda: 1 / 0)
    assert seqs(await reaches(lambda: cold(each.stream), 1)) == [1]
    assert seqs(await reaches(lambda: hot(writer.broker, each.stream), 1)) == [1]
    await writer.end(each, events=[(NOTE.name, {"n": 3}), (END.name, {})])
    assert seqs(await hot(writer.broker, each.stream)) == seqs(await cold(each.stream)) == [1, 2, 3]
    assert [event.data for event in await cold(each.stream)] == [{"n": 1}, {"n": 3}, {}]


async def test_several_events_are_left_behind_with_one_transaction(writer):
    each = await opened(writer)
    with pytest.raises(ZeroDivisionError):
        await writer.leave(each, events=[(NOTE.name, {"n": 1}), (NOTE.name, {"n": 2})], also=lambda: 1 / 0)
    assert await hot(writer.broker, each.stream) == await cold(each.stream) == []
    await writer.leave(each, events=[(NOTE.name, {"n": 1}), (NOTE.name, {"n": 2})], also=lambda: None)
    assert seqs(await hot(writer.broker, each.stream)) == seqs(await cold(each.stream)) == [1, 2]
