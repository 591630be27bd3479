import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chat.tasks import prune_message_events
from events import journal, retention
from events.models import DurableStream, JournalEvent
from tests.events.management.streams import journaled

pytestmark = pytest.mark.django_db


def aged(days, texts=("a", "b")):
    stream = journaled(texts)
    DurableStream.objects.filter(name=stream.name).update(ended_at=timezone.now() - timedelta(days=days))
    return stream


def prune(*args):
    out = StringIO()
    call_command("prune_message_events", *args, stdout=out)
    return out.getvalue()


def names():
    return set(DurableStream.objects.values_list("name", flat=True))


def test_streams_that_ended_before_the_limit_go_with_their_rows_and_all_others_stay():
    aged(20)
    young, running = aged(10), journaled(["x"], ended=False)
    DurableStream.objects.filter(name=running.name).update(created_at=timezone.now() - timedelta(days=400))
    assert "Deleted 3 events of 1 streams" in prune("--older-than-days", "15")
    assert names() == {young.name, running.name}
    assert JournalEvent.objects.count() == 3 + 1


def test_the_default_is_the_setting(settings):
    settings.MESSAGE_EVENTS_RETENTION_DAYS = 5
    aged(6)
    young = aged(4)
    prune()
    assert names() == {young.name}


def test_a_dry_run_says_what_would_go_and_deletes_nothing():
    aged(20)
    assert "Would delete 3 events of 1 streams" in prune("--dry-run")
    assert JournalEvent.objects.count() == 3


def test_a_batch_holds_whole_streams_and_says_how_far_it_is(django_assert_max_num_queries):
    for _ in range(5):
        aged(20, ["a"] * 9)
    said = prune("--batch-size", "25")
    # 30 events are three streams of 10: a fourth would start beyond the batch.
    assert re.findall(r"(\d+) events of (\d+) streams so far", said) == [("30", "3"), ("50", "5")]
    assert not names()


def test_a_stream_larger_than_a_batch_goes_in_one_piece():
    aged(20, ["a"] * 30)
    assert "Deleted 31 events of 1 streams" in prune("--batch-size", "2")


def test_what_another_prune_has_locked_is_left_to_it(transactional_db):
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection, transaction

    mine, free = aged(20), aged(20)

    def elsewhere():
        try:
            return retention.prune_journal()
        finally:
            connection.close()

    with transaction.atomic():
        DurableStream.objects.select_for_update().get(name=mine.name)
        with ThreadPoolExecutor(1) as thread:
            pruned = thread.submit(elsewhere).result(timeout=20)
    assert (pruned.streams, pruned.events) == (1, 3)
    assert names() == {mine.name}
    assert free.name not in names()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--older-than-days", "-1"],
        ["--older-than-days", "99999999999999"],
        ["--older-than-days", "soon"],
        ["--older-than-days", "1.5"],
        ["--batch-size", "0"],
        ["--batch-size", "-5"],
        ["--batch-size", "many"],
    ],
)
def test_nonsense_is_refused_and_nothing_deleted(arguments):
    aged(20)
    with pytest.raises(CommandError):
        prune(*arguments)
    assert JournalEvent.objects.count() == 3


async def test_the_nightly_task_does_the_same(transactional_db):
    from accounts.threads import in_thread

    await in_thread(aged, 20)
    young = await in_thread(aged, 1)
    await prune_message_events(0)
    assert await in_thread(names) == {young.name}


def test_a_pruned_stream_is_unknown_to_the_journal():
    stream = aged(20)
    prune()
    assert journal.heads([stream]) == {}
    assert journal.read(stream, journal.EventId(0, 0)) == []
