"""How long deliveries to endpoints are kept: what the nightly task and `prune_message_events` both call."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from events.conf import conf
from events.models import WebhookDelivery

BATCH = 5000


def prune_deliveries(*, dry_run: bool = False) -> int:
    """Deletes deliveries made more than WEBHOOK_RETENTION_DAYS ago; how many.

    What is still to be sent stays, however old it is, unless its endpoint is off: it would come as a flood of old news.
    """
    before = timezone.now() - timedelta(days=conf.WEBHOOK_RETENTION_DAYS)
    if dry_run:
        return _older(before).count()
    pruned = 0
    while batch := _delete_batch(before):
        pruned += batch
    return pruned


def _older(before: datetime) -> QuerySet[WebhookDelivery]:
    waiting = Q(status__in=WebhookDelivery.OPEN, endpoint__enabled=True)
    return WebhookDelivery.objects.filter(created_at__lt=before).exclude(waiting)


@transaction.atomic
def _delete_batch(before: datetime) -> int:
    # A worker, or another prune, may hold some: they are left to it.
    rows = _older(before).select_for_update(skip_locked=True, of=("self",)).order_by("created_at")
    pks = list(rows.values_list("pk", flat=True)[:BATCH])
    return WebhookDelivery.objects.filter(pk__in=pks).delete()[0] if pks else 0
