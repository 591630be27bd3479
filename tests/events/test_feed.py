import asyncio

import pytest

from accounts.threads import in_thread
from events import journal
from events.broker.base import DurableAppend
from events.event import START, EventId
from events.feed import KEEPALIVE, Feed
from events.hub import close_hub, current_hub
from tests.events.conftest import a_backlog, a_durable_stream, begin, delta, end, note, notes, numbers, packed, seqs, until
from tests.patience import patiently


def feed_of(hub, stream, cursor=START, **kwargs):
    return Feed(hub=hub, stream=stream, cursor=cursor, **kwargs)


async def published(hub, stream, first, last):
    return await hub.broker.append([(stream, packed(n)) for n in range(first, last + 1)])


async def following(feed, into):
    """Reads until the feed ends."""
    async with feed:
        while (batch := await feed.next()) is not None:
            into.append(batch)


async def collect(feed, count, *, seconds=10):
    """The next `count` events, and the reasons told on the way."""
    events, reasons = [], []
    async with asyncio.timeout(patiently(seconds)):
        while len(events) < count:
            batch = await feed.next()
            assert batch is not None, f"ended after {len(events)} events"
            events += batch.events
            reasons += [batch.reason] if batch.reason else []
    assert len(events) == count
    return events, reasons


async def in_broker(broker, stream, events, *, lease=1):
    await broker.fence(stream, lease)
    await broker.seed(stream, lease, events)


async def test_what_was_and_what_comes_in_one_order(hub):
    stream = a_backlog()
    await published(hub, stream, 1, 3)
    async with feed_of(hub, stream) as feed:
        assert numbers((await collect(feed, 3))[0]) == [1, 2, 3]
        await published(hub, stream, 4, 5)
        assert numbers((await collect(feed, 2))[0]) == [4, 5]


async def test_a_cursor_is_resumed_after_its_event(hub):
    stream = a_backlog()
    ids = await published(hub, stream, 1, 6)
    async with feed_of(hub, stream, ids[2]) as feed:
        events, reasons = await collect(feed, 3)
    assert (numbers(events), reasons, feed.cursor) == ([4, 5, 6], [], ids[-1])


async def test_readers_at_one_place_share_the_batch_and_its_bytes(hub):
    stream = a_backlog()
    feeds = [feed_of(hub, stream) for _ in range(5)]
    batches = [[] for _ in feeds]
    tasks = [asyncio.create_task(following(feed, into)) for feed, into in zip(feeds, batches, strict=True)]
    await until(lambda: all(feed._waiter is not None for feed in feeds) and hub.rings[stream].head is not None)
    await published(hub, stream, 1, 1)
    await until(lambda: all(batches))
    assert len({id(each[0]) for each in batches}) == 1
    [task.cancel() for task in tasks]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert hub.rings == {}


async def test_a_stream_ends_with_its_terminal_event(hub, journal_db):
    stream = a_durable_stream()
    await in_broker(hub.broker, stream, [delta(1, "a"), delta(2, "b"), end(3)])
    async with feed_of(hub, stream) as feed:
        batch = await feed.next()
        assert [(event.id.major, event.data) for event in batch.events] == [(2, {"block": 0, "text": "ab"}), (3, {})]
        assert await feed.next() is None


async def test_live_text_ends_at_once_with_the_terminal_event(hub, journal_db):
    stream = a_durable_stream()
    await hub.broker.fence(stream, 1)
    batches = []
    task = asyncio.create_task(following(feed_of(hub, stream), batches))
    for n in range(1, 6):
        await hub.broker.append_durable([DurableAppend(stream, 1, [delta(n, str(n))])])
    await hub.broker.append_durable([DurableAppend(stream, 1, [end(6)], ended=True)])
    async with asyncio.timeout(patiently(5)):
        await task
    assert "".join(event.data.get("text", "") for batch in batches for event in batch.events) == "12345"
    assert batches[-1].terminal


class TestReplayLimit:
    async def test_more_than_a_page_ends_right_after_the_page(self, hub):
        stream = a_backlog()
        ids = await published(hub, stream, 1, 25)
        cursor, pages = START, []
        for _ in range(3):
            batches = []
            feed = feed_of(hub, stream, cursor, replay_limit=10)
            task = asyncio.create_task(following(feed, batches))
            await until(lambda: task.done() or feed._waiter is not None)  # noqa: B023
            pages.append([number for batch in batches for number in numbers(batch.events)])
            cursor = feed.cursor
            assert task.done() is (len(pages) < 3)
        assert [len(page) for page in pages] == [10, 10, 5]
        assert (pages[0] + pages[1] + pages[2], cursor) == (list(range(1, 26)), ids[-1])
        await published(hub, stream, 26, 60)
        await until(lambda: sum(len(batch.events) for batch in batches) == 40)
        task.cancel()

    async def test_exactly_one_page_goes_on_live(self, hub):
        stream = a_backlog()
        await published(hub, stream, 1, 10)
        async with feed_of(hub, stream, replay_limit=10) as feed:
            await collect(feed, 10)
            waiting = asyncio.create_task(collect(feed, 2))
            await until(lambda: feed._waiter is not None)
            await published(hub, stream, 11, 12)
            assert numbers((await waiting)[0]) == [11, 12]

    async def test_a_live_event_never_jumps_the_queue(self, hub, settings):
        settings.EVENTS_READ_BATCH = 4
        stream = a_backlog()
        await published(hub, stream, 1, 9)
        async with feed_of(hub, stream, replay_limit=6) as feed:
            first = await feed.next()
            await published(hub, stream, 10, 10)
            rest = []
            async with asyncio.timeout(patiently(5)):
                while (batch := await feed.next()) is not None:
                    rest += numbers(batch.events)
        assert numbers(first.events) + rest == [1, 2, 3, 4, 5, 6]


class TestTruncation:
    async def test_a_trimmed_cursor_is_told_with_all_that_is_left(self, hub, settings):
        settings.EVENTS_STREAM_MAXLEN = 100
        stream = a_backlog()
        ids = await published(hub, stream, 1, 500)
        async with feed_of(hub, stream, ids[0]) as feed:
            batch = await feed.next()
            assert batch.reason == "trimmed"
            await published(hub, stream, 501, 501)
            events, reasons = await collect(feed, 1)
            assert (numbers(events), reasons) == ([501], [])

    async def test_a_foreign_cursor_is_told_once(self, hub):
        stream = a_backlog()
        await published(hub, stream, 1, 3)
        async with feed_of(hub, stream, EventId(10**17, 0)) as feed:
            events, reasons = await collect(feed, 3)
            assert (numbers(events), reasons) == ([1, 2, 3], ["unknown_cursor"])
            await published(hub, stream, 4, 4)
            assert await collect(feed, 1) != ([], [])

    async def test_a_cursor_on_nothing_is_told_and_then_followed(self, hub):
        stream = a_backlog()
        async with feed_of(hub, stream, EventId(1700000000000, 0)) as feed:
            batch = await feed.next()
            assert (batch.reason, batch.events) == ("expired", [])
            await published(hub, stream, 1, 1)
            assert await collect(feed, 1) is not None

    async def test_a_cursor_beyond_an_ended_stream_brings_everything(self, hub, journal_db):
        stream = a_durable_stream()
        lease = await in_thread(begin, stream)
        await in_thread(journal.end, stream=stream, lease=lease, events=[note(1), end(2)])
        async with feed_of(hub, stream, EventId(99, 0)) as feed:
            batch = await feed.next()
            assert (batch.reason, seqs(batch.events), await feed.next()) == ("unknown_cursor", [1, 2], None)

    async def test_a_flush_is_told_to_live_readers(self, hub, valkey, settings):
        settings.EVENTS_SWEEP_SECONDS = 0.05
        stream = a_backlog()
        await published(hub, stream, 1, 3)
        async with feed_of(hub, stream) as feed:
            await collect(feed, 3)
            valkey.flushall()
            await published(hub, stream, 4, 5)
            events, reasons = await collect(feed, 2)
            assert (numbers(events), len(reasons)) == ([4, 5], 1)
            await published(hub, stream, 6, 6)
            assert await collect(feed, 1) == ((await collect_again(hub, stream))[-1:], [])

    async def test_a_flush_after_which_nothing_comes_is_told_by_the_sweep(self, valkey, settings):
        settings.EVENTS_SWEEP_SECONDS = 0.05
        hub, stream = current_hub(), a_backlog()
        await published(hub, stream, 1, 3)
        async with feed_of(hub, stream) as feed:
            await collect(feed, 3)
            valkey.flushall()
            async with asyncio.timeout(patiently(5)):
                batch = await feed.next()
            assert (batch.reason, batch.events) == ("expired", [])
        await close_hub()

    async def test_a_flush_of_a_durable_stream_loses_and_repeats_nothing(self, hub, valkey, journal_db):
        stream = a_durable_stream()
        await in_thread(begin, stream, events=notes(1, 5))
        await in_broker(hub.broker, stream, notes(1, 5))
        async with feed_of(hub, stream) as feed:
            assert seqs((await collect(feed, 5))[0]) == [1, 2, 3, 4, 5]
            valkey.flushall()
            hub.ring_all()
            await in_broker(hub.broker, stream, notes(1, 8))
            events, reasons = await collect(feed, 3)
            assert (seqs(events), reasons) == ([6, 7, 8], [])


async def collect_again(hub, stream):
    return (await hub.log.read(stream, START)).events


class TestKeepAlive:
    async def test_a_quiet_feed_gives_a_sign_of_life(self, valkey, settings):
        settings.SSE_KEEPALIVE_SECONDS = 0.1
        hub, stream = current_hub(), a_backlog()
        async with feed_of(hub, stream) as feed, asyncio.timeout(patiently(5)):
            assert await feed.next() is KEEPALIVE
            assert await feed.next() is KEEPALIVE
            await published(hub, stream, 1, 1)
            while (batch := await feed.next()) is KEEPALIVE:
                pass
            assert numbers(batch.events) == [1]
        await close_hub()

    async def test_what_was_found_meanwhile_is_told_also_when_it_is_the_end(self, valkey_proxy, journal_db):
        hub, stream = current_hub(), a_durable_stream()
        events = [*notes(1, 3), end(4)]
        await in_thread(begin, stream, events=events)
        await in_broker(hub.broker, stream, events)
        async with feed_of(hub, stream) as feed, asyncio.timeout(patiently(10)):
            valkey_proxy.freeze()
            asked = asyncio.create_task(feed.next())
            await until(lambda: feed.give_notice() or asked.done())
            assert asked.result() is KEEPALIVE
            valkey_proxy.restore()
            # Nobody asks until the answer is there: a client takes its time to read the sign of life.
            await asyncio.wait([feed._looking])
            batch = await feed.next()
            assert seqs(batch.events) == [1, 2, 3, 4]
            assert await feed.next() is None
        await close_hub()

    async def test_also_while_the_broker_is_away(self, valkey_proxy, settings):
        settings.SSE_KEEPALIVE_SECONDS = 0.1
        hub, stream = current_hub(), a_backlog()
        async with feed_of(hub, stream) as feed, asyncio.timeout(patiently(10)):
            assert await feed.next() is KEEPALIVE
            valkey_proxy.cut()
            assert await feed.next() is KEEPALIVE
            assert await feed.next() is KEEPALIVE
        async with feed_of(hub, stream) as feed, asyncio.timeout(patiently(10)):
            assert await feed.next() is KEEPALIVE
        valkey_proxy.restore()
        await close_hub()


class TestEnding:
    async def test_ending_all_feeds_lets_each_finish_its_batch(self, hub):
        streams = [a_backlog() for _ in range(3)]
        feeds = [feed_of(hub, stream) for stream in streams for _ in range(4)]
        batches = [[] for _ in feeds]
        tasks = [asyncio.create_task(following(feed, into)) for feed, into in zip(feeds, batches, strict=True)]
        await until(lambda: all(feed._waiter is not None for feed in feeds))
        hub.end_feeds()
        async with asyncio.timeout(patiently(2)):
            await asyncio.gather(*tasks)
        async with asyncio.timeout(patiently(2)):
            late = feed_of(hub, streams[0])
            await following(late, [])
        assert hub.rings == {}

    async def test_stopping_a_waiting_feed_ends_it(self, hub):
        feed, batches = feed_of(hub, a_backlog()), []
        task = asyncio.create_task(following(feed, batches))
        await until(lambda: feed._waiter is not None)
        feed.stop()
        async with asyncio.timeout(patiently(2)):
            await task

    async def test_stopping_a_feed_that_looks_again_ends_it(self, valkey_proxy):
        hub, stream = current_hub(), a_backlog()
        feed = feed_of(hub, stream)
        task = asyncio.create_task(following(feed, []))
        await until(lambda: feed._waiter is not None and hub.rings[stream].head is not None)
        valkey_proxy.freeze()
        hub.rings[stream].start(START)
        hub.rings[stream].wake()
        await until(lambda: feed._waiter is None)
        feed.stop()
        valkey_proxy.restore()
        async with asyncio.timeout(patiently(3)):
            await task
        await close_hub()

    @pytest.mark.parametrize("how", ["stop", "end_feeds", "close"])
    async def test_ending_a_feed_that_is_reading_ends_it_too(self, valkey_proxy, how):
        """A client may leave, or the process may stop, while the read is on its way."""
        hub, stream = current_hub(), a_backlog()
        await hub.broker.ping()
        await until(lambda: hub._listener is not None)
        feed = feed_of(hub, stream)
        valkey_proxy.freeze()
        task = asyncio.create_task(following(feed, []))
        await until(lambda: feed._ring is not None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert feed._waiter is None
        match how:
            case "stop":
                feed.stop()
            case "end_feeds":
                hub.end_feeds()
            case "close":
                await close_hub()
        valkey_proxy.restore()
        async with asyncio.timeout(patiently(3)):
            await task
        await close_hub()


class TestStoresAway:
    async def test_readers_of_a_backlog_wait_for_the_broker_and_miss_nothing(self, valkey_proxy, broker, settings):
        settings.EVENTS_SWEEP_SECONDS = 0.05
        hub, stream, batches = current_hub(), a_backlog(), []
        task = asyncio.create_task(following(feed_of(hub, stream), batches))
        await published(hub, stream, 1, 3)
        await until(lambda: sum(len(each.events) for each in batches) == 3)
        valkey_proxy.cut()
        await broker.append([(stream, packed(4))])
        late = []
        joined = asyncio.create_task(following(feed_of(hub, stream), late))
        await until(lambda: len(hub.rings[stream].feeds) == 2)
        valkey_proxy.restore()
        await broker.append([(stream, packed(5))])
        await until(lambda: sum(len(each.events) for each in late) == 5)
        await until(lambda: sum(len(each.events) for each in batches) == 5)
        assert not any(each.reason for each in batches)
        task.cancel()
        joined.cancel()
        await close_hub()

    async def test_a_durable_stream_is_followed_in_the_journal_while_the_broker_is_away(
        self, valkey_proxy, broker, journal_db, settings
    ):
        settings.EVENTS_SWEEP_SECONDS = 0.05
        hub, stream, batches = current_hub(), a_durable_stream(), []
        lease = await in_thread(begin, stream, events=notes(1, 2))
        await in_broker(broker, stream, notes(1, 2), lease=lease)
        task = asyncio.create_task(following(feed_of(hub, stream), batches))
        await until(lambda: sum(len(each.events) for each in batches) == 2)
        valkey_proxy.cut()
        await in_thread(journal.append, [(stream, lease, notes(3, 4))])
        await until(lambda: sum(len(each.events) for each in batches) == 4)
        # The broker comes back knowing less than the reader does: nothing may be repeated.
        valkey_proxy.restore()
        await until(lambda: hub._listener is not None)
        hub.ring_all()
        await broker.append_durable([DurableAppend(stream, lease, notes(3, 6))])
        await until(lambda: sum(len(each.events) for each in batches) >= 6)
        assert [seq for each in batches for seq in seqs(each.events)] == [1, 2, 3, 4, 5, 6]
        assert not any(each.reason for each in batches)
        task.cancel()
        await close_hub()

    async def test_live_delivery_goes_on_without_the_database(self, hub, valkey, postgres_proxy, settings):
        settings.EVENTS_SWEEP_SECONDS = 0.05
        running, fresh, wiped = (a_durable_stream() for _ in range(3))
        await hub.broker.fence(running, 1)
        batches = []
        lost = a_durable_stream()
        await in_broker(hub.broker, lost, notes(1, 3))
        losing = feed_of(hub, lost)
        losing_task = asyncio.create_task(following(losing, []))
        await until(lambda: losing._waiter is not None and hub.rings[lost].head is not None)
        feed = feed_of(hub, running)
        task = asyncio.create_task(following(feed, batches))
        await until(lambda: feed._waiter is not None and hub.rings[running].head is not None)
        postgres_proxy.freeze()
        # Neither a stream whose head nobody knows yet nor ones that only the journal has may hold up the others.
        valkey.delete(*hub.broker._keys(lost))
        hub.ring_all()
        others = [asyncio.create_task(following(feed_of(hub, stream), [])) for stream in (fresh, wiped)]
        await until(lambda: fresh in hub.rings)
        loop = asyncio.get_running_loop()
        for n in range(1, 21):
            sent = loop.time()
            await hub.broker.append_durable([DurableAppend(running, 1, [note(n)])])
            await until(lambda: sum(len(each.events) for each in batches) == n)  # noqa: B023
            assert loop.time() - sent < 0.2
        postgres_proxy.restore()
        for each in (task, losing_task, *others):
            each.cancel()
        await asyncio.gather(task, losing_task, *others, return_exceptions=True)


class TestEndsThatTheBrokerNeverHeardOf:
    async def ended_in_journal_only(self, hub):
        stream = a_durable_stream()
        lease = await in_thread(begin, stream, events=notes(1, 2))
        await in_broker(hub.broker, stream, notes(1, 2), lease=lease)
        return stream, lease

    async def test_a_live_reader_gets_the_end_from_the_journal(self, valkey, journal_db, settings):
        """The worker died between committing the end and telling the broker."""
        settings.EVENTS_SWEEP_SECONDS = 0.05
        hub, batches = current_hub(), []
        stream, lease = await self.ended_in_journal_only(hub)
        task = asyncio.create_task(following(feed_of(hub, stream), batches))
        await until(lambda: sum(len(each.events) for each in batches) == 2)
        await in_thread(journal.end, stream=stream, lease=lease, events=[note(3), end(4)])
        async with asyncio.timeout(patiently(5)):
            await task
        assert [seq for each in batches for seq in seqs(each.events)] == [1, 2, 3, 4]
        await close_hub()

    @pytest.mark.parametrize("cursor", [0, 1, 2, 3])
    async def test_a_later_reader_gets_it_too(self, hub, journal_db, cursor):
        stream, lease = await self.ended_in_journal_only(hub)
        await in_thread(journal.end, stream=stream, lease=lease, events=[note(3), end(4)])
        batches = []
        async with asyncio.timeout(patiently(5)):
            await following(feed_of(hub, stream, EventId(cursor, 0)), batches)
        assert [seq for each in batches for seq in seqs(each.events)] == list(range(cursor + 1, 5))
