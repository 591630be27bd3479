import asyncio

import pytest

from accounts.threads import in_thread
from events import journal
from events.broker.connect import connect
from events.conf import conf
from events.event import START, EventId
from events.exceptions import BrokerUnavailable, JournalUnavailable, Unavailable
from events.log import Log
from tests.events.conftest import a_backlog, a_durable_stream, begin, end, note, notes, packed, seqs
from tests.patience import patiently


@pytest.fixture
async def log(valkey):
    log = Log(connect())
    yield log
    await log.close()
    await log.broker.close()


@pytest.fixture
async def proxied_log(valkey_proxy):
    log = Log(connect())
    yield log
    await log.close()
    await log.broker.close()


async def in_broker(broker, stream, events, *, lease=1):
    """Makes the broker hold these events; earlier ones it once had."""
    first, last = events[0].id.major, events[-1].id.major
    await broker.fence(stream, lease)
    await broker.seed(stream, lease, notes(1, first - 1) + list(events))
    await broker._redis.ask_all("XTRIM", broker._key(stream), "MINID", f"{first}-0")
    assert len(events) == last - first + 1


async def test_readers_at_one_position_share_one_answer(log, valkey):
    stream = a_backlog()
    await log.broker.append([(stream, packed(n)) for n in range(5)])
    before = valkey.info("commandstats")["cmdstat_evalsha"]["calls"]
    readings = await asyncio.gather(*(log.read(stream, START) for _ in range(200)))
    assert all(reading is readings[0] for reading in readings)
    assert len(readings[0].events) == 5
    assert valkey.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


async def test_readers_at_many_positions_each_get_theirs(log):
    stream = a_backlog()
    ids = await log.broker.append([(stream, packed(n)) for n in range(150)])
    readings = await asyncio.gather(*(log.read(stream, cursor) for cursor in ids))
    assert [len(reading.events) for reading in readings] == list(range(149, -1, -1))


async def test_a_reader_that_leaves_takes_nothing_from_the_others(log):
    stream = a_backlog()
    await log.broker.append([(stream, packed(1))])
    leaving, staying = (asyncio.create_task(log.read(stream, START)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len((await staying).events) == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_read_is_not_answered_from_before_it_was_asked(log):
    stream = a_backlog()
    for count in range(1, 30):
        other = asyncio.create_task(log.read(stream, START))
        await asyncio.sleep(0)
        await log.broker.append([(stream, packed(count))])
        assert len((await log.read(stream, START)).events) == count
        await other


async def test_what_the_broker_does_not_hold_is_read_from_the_journal(log, journal_db):
    ended, wiped = a_durable_stream(), a_durable_stream()
    await in_thread(begin, ended, events=[note(1), note(2), end(3)])
    await in_thread(begin, wiped, events=notes(1, 5))
    await in_broker(log.broker, wiped, notes(4, 5))
    for stream, cursor, expected in (
        (ended, START, [1, 2, 3]),
        (ended, EventId(2, 0), [3]),
        (wiped, START, [1, 2, 3, 4, 5]),
        (wiped, EventId(3, 0), [4, 5]),
    ):
        reading = await log.read(stream, cursor)
        assert (seqs(reading.events), reading.continuous) == (expected, True)


async def test_a_gap_is_waited_for_and_never_crossed(log, journal_db):
    stream = a_durable_stream()
    lease = await in_thread(begin, stream, events=notes(1, 2))
    await in_broker(log.broker, stream, notes(5, 6))
    assert seqs((await log.read(stream, START)).events) == [1, 2]
    waiting = await log.read(stream, EventId(2, 0))
    assert (waiting.events, waiting.continuous) == ([], True)
    await in_thread(journal.append, [(stream, lease, notes(3, 4))])
    assert seqs((await log.read(stream, EventId(2, 0))).events) == [3, 4]
    assert seqs((await log.read(stream, EventId(4, 0))).events) == [5, 6]


@pytest.mark.parametrize("hot", [True, False])
async def test_a_cursor_beyond_the_head_is_told(log, journal_db, hot):
    stream = a_durable_stream()
    lease = await in_thread(begin, stream)
    await in_thread(journal.end, stream=stream, lease=lease, events=[note(1), end(2)])
    if hot:
        await in_broker(log.broker, stream, [note(1), end(2)])
    reading = await log.read(stream, EventId(7, 0))
    assert (reading.continuous, reading.reason, reading.events) == (False, "unknown_cursor", [])
    assert (await log.read(stream, EventId(2, 0))).continuous


async def test_a_cursor_beyond_both_tiers_of_a_running_stream_is_told(log, journal_db):
    stream = a_durable_stream()
    await in_thread(begin, stream, events=notes(1, 8))
    await in_broker(log.broker, stream, notes(1, 9))
    reading = await log.read(stream, EventId(20, 0))
    assert (reading.continuous, reading.reason, reading.events) == (False, "unknown_cursor", [])


async def test_a_broker_behind_the_journal_does_not_make_a_good_cursor_unknown(log, journal_db):
    """A writer that died after journaling and before sending, or a broker restored from an older copy."""
    stream = a_durable_stream()
    await in_thread(begin, stream, events=notes(1, 8))
    await in_broker(log.broker, stream, notes(1, 5))
    reading = await log.read(stream, EventId(6, 0))
    assert (reading.continuous, seqs(reading.events)) == (True, [7, 8])
    at_head = await log.read(stream, EventId(8, 0))
    assert (at_head.continuous, at_head.events) == (True, [])


async def test_without_the_broker_durable_streams_come_from_the_journal_and_backlogs_wait(proxied_log, valkey_proxy, journal_db):
    durable, backlog = a_durable_stream(), a_backlog()
    await in_thread(begin, durable, events=notes(1, 3))
    valkey_proxy.cut()
    # All asked at once: one that cannot be answered must not take the others with it.
    hot, cold = await asyncio.gather(proxied_log.read(backlog, START), proxied_log.read(durable, START), return_exceptions=True)
    assert isinstance(hot, BrokerUnavailable)
    assert seqs(cold.events) == [1, 2, 3]
    heads = await proxied_log.heads([durable])
    assert heads[durable].id == EventId(3, 0)
    valkey_proxy.restore()
    assert (await proxied_log.read(backlog, START)).continuous


async def test_without_the_journal_what_the_broker_holds_is_read(log, postgres_proxy):
    hot, cold, backlog = a_durable_stream(), a_durable_stream(), a_backlog()
    await in_broker(log.broker, hot, notes(1, 3))
    await log.broker.append([(backlog, packed(1))])
    postgres_proxy.cut()
    waiting = asyncio.create_task(log.read(cold, START))
    readings = await asyncio.gather(log.read(hot, START), log.read(backlog, START))
    assert [len(reading.events) for reading in readings] == [3, 1]
    assert not waiting.done(), "readers of the broker waited for the journal"
    with pytest.raises(JournalUnavailable):
        await waiting
    heads = await log.heads([hot, backlog])
    assert heads[hot].id == EventId(3, 0)


async def test_heads_are_the_further_of_broker_and_journal(log, journal_db):
    ahead, behind, over = (a_durable_stream() for _ in range(3))
    await in_thread(begin, ahead, events=notes(1, 2))
    await in_broker(log.broker, ahead, notes(1, 5))
    await in_thread(begin, behind, events=notes(1, 9))
    await in_broker(log.broker, behind, notes(1, 5))
    lease = await in_thread(begin, over)
    await in_thread(journal.end, stream=over, lease=lease, events=[end(1)])
    unknown = a_backlog()
    heads = await log.heads([ahead, behind, over, unknown])
    assert [heads[each].id.major for each in (ahead, behind, over, unknown)] == [5, 9, 1, 0]
    assert [heads[each].ended for each in (ahead, behind, over, unknown)] == [False, False, True, False]


async def test_long_streams_are_read_in_parts(log, journal_db, settings):
    settings.EVENTS_READ_BATCH = 8
    hot, cold = a_durable_stream(), a_durable_stream()
    await in_thread(begin, cold, events=notes(1, 30))
    await in_broker(log.broker, hot, notes(1, 30))
    for stream in (hot, cold):
        cursor, read = START, []
        while events := (await log.read(stream, cursor)).events:
            assert len(events) <= conf.EVENTS_READ_BATCH
            read += seqs(events)
            cursor = events[-1].id
        assert read == list(range(1, 31))


async def test_nobody_waits_forever_for_a_log_that_is_closed(proxied_log, valkey_proxy):
    await proxied_log.broker.ping()
    valkey_proxy.freeze()
    waiting = [asyncio.create_task(proxied_log.read(a_backlog(), START)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(proxied_log.read(a_backlog(), START)))
    await asyncio.sleep(0)
    await proxied_log.close()
    async with asyncio.timeout(patiently(2)):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
