"""Events that belong to a change in the database: published if and only if it is committed.

A row is written in the same transaction and sent when it is committed. Should the process die in between,
a sweep sends it; should it die after sending, the key of the row keeps the broker from taking it twice.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.threads import in_thread
from events.conf import conf
from events.exceptions import ThroughlineError, translated
from events.models import OutboxEvent
from events.publishing import Publication, check, publish_once
from events.streams import Stream

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
BATCH = 200
REMEMBER_SECONDS = 24 * 3600
"""A row that could not be sent for longer than this might be told twice."""


def publish_with_commit(*, stream: Stream, type: str, data: dict[str, Any]) -> None:
    """Appends an event to a backlog stream with the current transaction. Raises `InvalidRequest`, `TooLarge`."""
    if not conf.ENABLE_SSE_PUSH:
        return
    check(Publication(stream, type, data))
    row = OutboxEvent.objects.create(stream=stream.name, type=type, data=data)
    # Not a partial: Django logs a robust function's failure by its __qualname__, and fails itself where there is none.
    transaction.on_commit(lambda: _send_now(row.pk), robust=True)


def _send_now(pk: int) -> None:
    try:
        send(OutboxEvent.objects.filter(pk=pk))
    except ThroughlineError as error:
        logger.warning("An event waits in the outbox: %s", error.message)


def send(rows: Any) -> int:
    """Sends these rows, except those that another process is sending; how many. Raises `BrokerUnavailable`."""
    with transaction.atomic():
        found = list(rows.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        if not found:
            return 0
        publish_once(
            [
                (Publication(Stream.parse(row.stream), row.type, row.data), f"outbox:{row.pk}:{row.created_at.timestamp()}")
                for row in found
            ],
            remember=REMEMBER_SECONDS,
        )
        OutboxEvent.objects.filter(pk__in=[row.pk for row in found]).delete()
        return len(found)


def sweep() -> int:
    """Sends what was committed a while ago and is still here."""
    return send(OutboxEvent.objects.filter(created_at__lt=timezone.now() - timedelta(seconds=SWEEP_SECONDS)))


async def sweep_forever() -> None:
    """Sweeps until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            while await in_thread(sweep) == BATCH:
                pass
        except Exception as error:
            known = translated(error)
            if known is None:
                logger.exception("The outbox could not be swept.")
            else:
                logger.warning("Events wait in the outbox: %s", known.message)
