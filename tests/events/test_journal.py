import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from events import journal
from events.event import START, Event, EventId
from events.exceptions import JournalUnavailable, LeaseLost
from events.models import DurableStream, JournalEvent
from tests.events.conftest import a_durable_stream, begin, delta, end, note, notes, seqs

pytestmark = pytest.mark.usefixtures("journal_db")


@pytest.fixture
def stream():
    return a_durable_stream()


def test_events_are_read_as_they_were_written(stream):
    lease = begin(stream, events=[note(1)])
    data = {"text": "é\u2028\U0001f600", "list": [1, 2.5, None, True, {"a": []}], "big": 2**53, "quote": "'\"\\"}
    events = [Event(EventId(2, 0), "test.note", data, 2**50), delta(3, "x"), note(4)]
    assert journal.append([(stream, lease, events)]) == [True]
    assert journal.read(stream, START) == [note(1), *events]
    assert journal.read(stream, EventId(2, 0)) == events[1:]
    assert journal.read(stream, EventId(1, 0), limit=2) == events[:2]
    assert journal.read(stream, EventId(4, 0)) == []
    assert journal.read(stream, EventId(10**18 - 1, 0)) == []


def test_a_stream_has_one_beginning(stream):
    begin(stream)
    with pytest.raises(IntegrityError), transaction.atomic():
        journal.create(stream=stream)


def test_a_beginning_is_part_of_its_callers_transaction(stream):
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        journal.create(stream=stream, events=[note(1)])
        raise ZeroDivisionError
    assert journal.heads([stream]) == {}


def test_written_twice_an_event_is_kept_once_and_as_it_was_first(stream):
    lease = begin(stream)
    journal.append([(stream, lease, notes(1, 3))])
    other = Event(EventId(2, 0), "test.note", {"n": "another"}, 1)
    assert journal.append([(stream, lease, [other, note(3), note(4)])]) == [True]
    assert journal.read(stream, START) == notes(1, 4)


def test_many_streams_are_written_at_once_and_each_lease_is_judged_by_itself():
    fresh, taken, unknown, ended = (a_durable_stream() for _ in range(4))
    leases = {each: begin(each) for each in (fresh, taken, ended)}
    journal.take_lease(stream=taken)
    journal.end(stream=ended, lease=leases[ended], events=[end(1)])
    held = journal.append(
        [
            (taken, leases[taken], notes(1, 2)),
            (fresh, leases[fresh], notes(1, 2)),
            (unknown, 1, notes(1, 2)),
            (ended, leases[ended], notes(2, 3)),
        ]
    )
    assert held == [False, True, False, False]
    assert [seqs(journal.read(each, START)) for each in (fresh, taken, unknown, ended)] == [[1, 2], [], [], [1]]


def test_a_batch_of_no_events_still_tells_whether_the_lease_is_held(stream):
    lease = begin(stream)
    assert journal.append([(stream, lease, [])]) == [True]
    journal.take_lease(stream=stream)
    assert journal.append([(stream, lease, [])]) == [False]


def test_leases_rise_and_only_the_newest_counts(stream):
    first = begin(stream)
    second = journal.take_lease(stream=stream)
    assert second > first
    with pytest.raises(LeaseLost):
        journal.end(stream=stream, lease=first, events=[end(1)])
    journal.end(stream=stream, lease=second, events=[end(1)])
    assert journal.read(stream, START) == [end(1)]


def test_leases_taken_at_once_differ(stream, django_db_blocker):
    begin(stream)

    def take(_):
        try:
            return journal.take_lease(stream=stream)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        leases = list(threads.map(take, range(12)))
    assert sorted(leases) == list(range(2, 14))


def test_nobody_takes_over_what_has_ended_or_never_began(stream):
    lease = begin(stream)
    journal.end(stream=stream, lease=lease, events=[end(1)])
    for each in (stream, a_durable_stream()):
        with pytest.raises(LeaseLost):
            journal.take_lease(stream=each)


def test_a_stream_ends_once(stream):
    lease = begin(stream)
    journal.end(stream=stream, lease=lease, events=[note(1), end(2)])
    with pytest.raises(LeaseLost):
        journal.end(stream=stream, lease=lease, events=[end(3)])
    assert journal.read(stream, START) == [note(1), end(2)]
    assert journal.heads([stream])[stream.name] == journal.JournalHead(EventId(2, 0), True)


def test_the_end_and_what_belongs_to_it_are_one_transaction(stream):
    lease = begin(stream)
    with pytest.raises(ZeroDivisionError):
        journal.end(stream=stream, lease=lease, events=[end(1)], also=lambda: 1 / 0)
    assert journal.heads([stream])[stream.name] == journal.JournalHead(START, False)
    done = []
    journal.end(stream=stream, lease=lease, events=[end(1)], also=lambda: done.append(connection.in_atomic_block))
    assert done == [True]


def test_an_append_under_way_keeps_a_takeover_waiting(stream, django_db_blocker):
    """Otherwise the new writer could read the journal, and the old one's batch appear in it afterwards."""
    lease = begin(stream)

    def take():
        try:
            return journal.take_lease(stream=stream)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert journal.append([(stream, lease, [note(1)])]) == [True]
            taking = threads.submit(take)
            with pytest.raises(TimeoutError):
                taking.result(0.2)
        assert taking.result(5) == lease + 1


def test_a_read_never_crosses_a_gap(stream):
    lease = begin(stream, events=notes(1, 3))
    journal.append([(stream, lease, notes(5, 6))])
    assert journal.read(stream, START) == notes(1, 3)
    assert journal.read(stream, EventId(3, 0)) == []
    assert journal.read(stream, EventId(4, 0)) == notes(5, 6)
    journal.append([(stream, lease, [note(4)])])
    assert journal.read(stream, START) == notes(1, 6)


def test_heads_of_known_streams():
    empty, some, ended = (a_durable_stream() for _ in range(3))
    begin(empty)
    begin(some, events=notes(1, 4))
    journal.end(stream=ended, lease=begin(ended), events=[end(1)])
    assert journal.heads([empty, some, ended, a_durable_stream()]) == {
        empty.name: journal.JournalHead(START, False),
        some.name: journal.JournalHead(EventId(4, 0), False),
        ended.name: journal.JournalHead(EventId(1, 0), True),
    }
    assert journal.heads([]) == {}


def ended_days_ago(days, count):
    stream = a_durable_stream()
    journal.end(stream=stream, lease=begin(stream), events=[*notes(1, count - 1), end(count)])
    DurableStream.objects.filter(name=stream.name).update(ended_at=timezone.now() - timedelta(days=days))
    return stream


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_pruning_takes_what_ended_long_ago_and_nothing_else(batch_size):
    old, older, young, running = ended_days_ago(20, 10), ended_days_ago(30, 5), ended_days_ago(1, 5), a_durable_stream()
    begin(running, events=notes(1, 5))
    before = timezone.now() - timedelta(days=14)
    assert journal.prune(before=before, batch_size=batch_size, dry_run=True).events == 15
    assert JournalEvent.objects.count() == 25
    assert journal.prune(before=before, batch_size=batch_size).events == 15
    assert [len(journal.read(each, START)) for each in (old, older, young, running)] == [0, 0, 5, 5]
    assert journal.prune(before=before, batch_size=batch_size).events == 0


def test_a_database_that_is_away_is_told(stream, postgres_proxy):
    lease = begin(stream, events=notes(1, 2))
    postgres_proxy.cut()
    for call in (
        lambda: journal.append([(stream, lease, notes(3, 4))]),
        lambda: journal.read(stream, START),
        lambda: journal.heads([stream]),
    ):
        with pytest.raises(JournalUnavailable):
            call()
    postgres_proxy.restore()
    connection.close()
    assert journal.append([(stream, lease, notes(3, 4))]) == [True]
    assert journal.read(stream, START) == notes(1, 4)
