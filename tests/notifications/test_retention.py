"""What grows old is deleted: by the command, and every night."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts.threads import in_thread
from notifications.models import Delivery, Notification
from notifications.retention import prune_notifications
from notifications.services import notify
from notifications.tasks import prune_old_notifications
from tests.notifications.conftest import tell
from tests.notifications.rules import happen, organization, rule, work


@pytest.fixture
def aged(people):
    """Notifies alice, so many days ago; the ids."""

    def make(days, *titles):
        ids = tell(people["alice"], *titles)
        Notification.objects.filter(pk__in=ids).update(created_at=timezone.now() - timedelta(days=days))
        return ids

    return make


def prune(*args):
    out = StringIO()
    call_command("prune_notifications", *args, stdout=out)
    return out.getvalue()


def titles():
    return sorted(Notification.objects.values_list("title", flat=True))


def test_the_old_go_and_the_young_stay(aged):
    aged(20, "old", "older")
    aged(10, "young")
    assert "Deleted 2 notifications made 15 or more days ago." in prune("--older-than-days", "15")
    assert titles() == ["young"]


def test_the_default_is_the_setting(aged, settings):
    settings.NOTIFICATIONS_RETENTION_DAYS = 5
    aged(6, "old")
    aged(4, "young")
    prune()
    assert titles() == ["young"]


def test_a_dry_run_says_what_would_go_and_deletes_nothing(aged):
    aged(100, "old", "older")
    assert "Would delete 2 notifications" in prune("--dry-run")
    assert titles() == ["old", "older"]


def test_batches_say_how_far_they_are(aged):
    aged(100, *"abcde")
    assert re.findall(r"(\d+) notifications so far", prune("--batch-size", "2")) == ["2", "4", "5"]
    assert titles() == []


def test_what_another_has_locked_is_left_to_it(aged):
    (mine,), _ = aged(100, "locked"), aged(100, "free")

    def elsewhere():
        try:
            return prune_notifications()
        finally:
            connection.close()

    with transaction.atomic():
        Notification.objects.select_for_update().get(pk=mine)
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(elsewhere).result(timeout=20) == 1
    assert titles() == ["locked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--older-than-days", "-1"],
        ["--older-than-days", "99999999999999"],
        ["--older-than-days", "soon"],
        ["--batch-size", "0"],
        ["--batch-size", "many"],
    ],
)
def test_nonsense_is_refused_and_nothing_deleted(aged, arguments):
    aged(1000, "old")
    with pytest.raises(CommandError):
        prune(*arguments)
    assert titles() == ["old"]


def test_a_pruned_key_may_be_told_again(people, feed):
    notify(users=[people["alice"]], title="Yearly", key="k")
    Notification.objects.update(created_at=timezone.now() - timedelta(days=100), deleted_at=timezone.now())
    prune()
    notify(users=[people["alice"]], title="Yearly", key="k")
    assert len(feed()) == 2


async def test_the_nightly_task_does_the_same(aged):
    await in_thread(aged, 100, "old")
    await in_thread(aged, 1, "young")
    await prune_old_notifications(0)
    assert await in_thread(titles) == ["young"]


def test_ended_deliveries_go_with_the_notifications_and_held_ones_stay(people, feed):
    organization(people)
    rule(people["ops"], channels=["websocket", "email"], recipients=["user:user_alice"])
    happen()
    work()
    assert prune_notifications() == 0
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["held", "sent"]
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=91))
    prune_notifications(dry_run=True)
    assert Delivery.objects.count() == 2
    prune_notifications()
    assert list(Delivery.objects.values_list("status", flat=True)) == ["held"]
