"""Durable streams that are written batch by batch, from any process."""

import asyncio

import pytest
import redis
from django.db import transaction

from events import batches, journal
from events.batches import append_with_commit
from events.broker.base import Appended, DurableAppend
from events.broker.connect import connect
from events.event import START, Event, EventId
from events.exceptions import LeaseLost
from events.streams import Stream
from tests.events.conftest import valkey  # noqa: F401 - a fixture

STREAM = Stream("execution", "batches")
NAME = f"tl:{{{STREAM.name}}}"


@pytest.fixture(autouse=True)
def _begun(transactional_db, valkey):  # noqa: F811
    batches._broker.cache_clear()
    with transaction.atomic():
        journal.create(stream=STREAM)
    yield
    batches._broker.cache_clear()


@pytest.fixture
def hot(redis_url):
    """The ids that the broker holds."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield lambda: [entry_id for entry_id, _ in client.xrange(NAME)]


def note(*numbers):
    return [("test.note", {"n": number}) for number in numbers]


def append(*events):
    with transaction.atomic():
        return append_with_commit(stream=STREAM, events=events)


def kept():
    return [event.data.get("n") for event in journal.read(STREAM, START)]


def test_batches_follow_each_other_in_both_stores(hot):
    assert [event.id.major for event in append(*note(1, 2))] == [1, 2]
    assert [event.id.major for event in append(*note(3))] == [3]
    assert kept() == [1, 2, 3]
    assert hot() == ["1-0", "2-0", "3-0"]


def test_nothing_is_told_of_what_was_not_committed(hot):
    def fail_after_it():
        with transaction.atomic():
            append_with_commit(stream=STREAM, events=note(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_it()
    assert kept() == hot() == []
    append(*note(2))
    assert kept() == [2]


def test_the_end_is_the_last(hot):
    append(*note(1), ("test.end", {}))
    with pytest.raises(LeaseLost):
        append(*note(2))
    assert hot() == ["1-0", "2-0"]


def test_a_stream_that_was_not_begun_is_refused():
    with pytest.raises(LeaseLost), transaction.atomic():
        append_with_commit(stream=Stream("execution", "other"), events=note(1))


def test_no_events_are_nothing(hot):
    assert append() == []
    assert hot() == []


def test_a_batch_that_is_told_too_late_is_refused(monkeypatch, hot):
    """Its writer paused after the commit, and another one was faster: the broker must not go back."""
    late = []
    with monkeypatch.context() as patch:
        patch.setattr(batches, "_tell", late.append)
        append(*note(1))
    append(*note(2))
    assert hot() == ["1-0", "2-0"]
    batches._tell(late[0])
    assert hot() == ["1-0", "2-0"]
    append(*note(3))
    assert hot() == ["1-0", "2-0", "3-0"]


async def test_the_brokers_part_alone(valkey):  # noqa: F811
    broker = connect()
    events = [Event(EventId(number, 0), "test.note", {"n": number}, 1) for number in range(1, 2502)]

    def at_once():
        assert broker.append_durable_now(DurableAppend(STREAM, 5, events[10:11])) is Appended.LOST
        assert broker.seed_now(STREAM, 5, events) is Appended.OK
        assert broker.append_durable_now(DurableAppend(STREAM, 4, events[-1:])) is Appended.STALE
        assert broker.seed_now(STREAM, 4, events[:5]) is Appended.STALE
        assert broker.append_durable_now(DurableAppend(STREAM, 5, events[-1:], ended=True)) is Appended.OK

    await asyncio.to_thread(at_once)
    assert valkey.xlen(NAME) == 2501
    assert (await broker.heads([STREAM]))[0] == EventId(2501, 0)
    await broker.close()
