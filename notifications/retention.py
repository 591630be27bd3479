"""How long notifications are kept: what the nightly task and `prune_notifications` both call."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from events.exceptions import InvalidRequest
from notifications.conf import conf
from notifications.models import Delivery, Notification

BATCH = 5000
MOST_DAYS = 36_500


def prune_notifications(
    *,
    older_than_days: int | None = None,
    batch_size: int = BATCH,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Deletes what was made more than so many days ago (None: NOTIFICATIONS_RETENTION_DAYS), whatever its state; how many.

    And deliveries of rules that ended, which are not counted.

    `batch_size`: how many one transaction deletes; `progress` is told after each how many are gone. Badges are not told:
    they follow at the next change. Raises `InvalidRequest` for numbers that make no sense.
    """
    days = conf.NOTIFICATIONS_RETENTION_DAYS if older_than_days is None else older_than_days
    if not 0 <= days <= MOST_DAYS:
        raise InvalidRequest(f"Notifications can be kept for 0 to {MOST_DAYS} days, not {days}.")
    if batch_size < 1:
        raise InvalidRequest(f"A batch has at least 1 notification, not {batch_size}.")
    before = timezone.now() - timedelta(days=days)
    if dry_run:
        return _older(before).count()
    pruned = 0
    while batch := _delete_batch(before, batch_size):
        pruned += batch
        if progress is not None:
            progress(pruned)
    while _delete_deliveries(before, batch_size):
        pass
    return pruned


def _older(before: datetime) -> QuerySet[Notification]:
    return Notification.objects.filter(created_at__lt=before)


@transaction.atomic
def _delete_batch(before: datetime, size: int) -> int:
    # Another prune, or a user's action, may hold some: they are left to it, and nobody waits in a circle.
    rows = _older(before).select_for_update(skip_locked=True).order_by("created_at")
    pks = list(rows.values_list("pk", flat=True)[:size])
    return Notification.objects.filter(pk__in=pks).delete()[0] if pks else 0


@transaction.atomic
def _delete_deliveries(before: datetime, batch_size: int) -> int:
    # What is still held is not over, however old it is. An event that old is in no backlog that could bring it again.
    ended = Delivery.objects.exclude(status=Delivery.Status.HELD).filter(created_at__lt=before)
    batch = list(ended.order_by("created_at").values_list("pk", flat=True)[:batch_size])
    Delivery.objects.filter(pk__in=batch).delete()
    return len(batch)
