"""Events that belong to a change in the database: published if and only if it is committed.

A row is written in the same transaction and sent when it is committed. Should the process die in between,
a sweep sends it; should it die after sending, the key of the row keeps the broker from taking it twice.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from django.db import connection, transaction

from accounts.threads import in_thread
from events.exceptions import InvalidRequest, ThroughlineError, TooLarge, translated
from events.models import OutboxEvent
from events.publishing import Publication, check, is_wanted, publish_once
from events.streams import Stream

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
BATCH = 200
REMEMBER_SECONDS = 24 * 3600
"""A row that could not be sent for longer than this might be told twice."""


def publish_with_commit(*, stream: Stream, type: str, data: dict[str, Any]) -> None:
    """Appends an event to a backlog stream with the current transaction. Raises `InvalidRequest`, `TooLarge`."""
    publish_all_with_commit([Publication(stream, type, data)])


def publish_all_with_commit(publications: Sequence[Publication]) -> None:
    """Appends events to backlog streams with the current transaction, in one statement. Raises as `publish_with_commit`."""
    wanted = [each for each in publications if is_wanted(each)]
    if not wanted:
        return
    for each in wanted:
        check(each)
    rows = OutboxEvent.objects.bulk_create(
        [OutboxEvent(stream=each.stream.name, type=each.type, data=each.data, key=each.key) for each in wanted]
    )
    pks = [row.pk for row in rows]
    # Not a partial: Django logs a robust function's failure by its __qualname__, and fails itself where there is none.
    transaction.on_commit(lambda: _send_soon(pks), robust=True)


def _send_soon(pks: list[int]) -> None:
    if Sender.running is not None:
        Sender.running.wake()
        return
    # A process without an event loop of ours, such as a management command.
    try:
        while send(OutboxEvent.objects.filter(pk__in=pks)) == BATCH:
            pass
    except ThroughlineError as error:
        logger.warning("An event waits in the outbox: %s", error.message)


def send(rows: Any) -> int:
    """Sends these rows, except those that another process is sending; how many. Raises `BrokerUnavailable`."""
    with transaction.atomic():
        # Should the database crash and forget that these were sent, the broker still knows them.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO off")
        found = list(rows.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        if not found:
            return 0
        try:
            _publish(found)
        except (InvalidRequest, TooLarge):
            # Nothing was sent. One that no settings and code of today accept must not hold up the others for ever.
            _publish([row for row in found if _is_sendable(row)])
        OutboxEvent.objects.filter(pk__in=[row.pk for row in found]).delete()
        return len(found)


def _publish(rows: list[OutboxEvent]) -> None:
    items = [(_publication(row), row.key or f"outbox:{row.pk}:{row.created_at.timestamp()}") for row in rows]
    publish_once(items, remember=REMEMBER_SECONDS)


def _publication(row: OutboxEvent) -> Publication:
    return Publication(Stream.parse(row.stream), row.type, row.data)


def _is_sendable(row: OutboxEvent) -> bool:
    try:
        check(_publication(row))
    except (InvalidRequest, TooLarge) as error:
        logger.error("The event %s (outbox %s) can never be sent and is dropped: %s", row, row.pk, error.message)
        return False
    return True


def send_all() -> int:
    """Sends a batch of what is committed and not yet sent, by whatever process; how many."""
    return send(OutboxEvent.objects.all())


class Sender:
    """Sends what this process commits at once, many events together, and now and then what others left behind."""

    running: ClassVar["Sender | None"] = None
    """The one of this process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._committed = asyncio.Event()

    def wake(self) -> None:
        """Has it send, from any thread."""
        self._loop.call_soon_threadsafe(self._committed.set)

    async def run_forever(self) -> None:
        """Sends until cancelled."""
        Sender.running = self
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._committed.wait()
                self._committed.clear()
                await self._send()
        finally:
            Sender.running = None

    async def _send(self) -> None:
        try:
            while await in_thread(send_all) == BATCH:
                pass
        except Exception as error:
            known = translated(error)
            if known is None:
                logger.exception("The outbox could not be sent.")
            else:
                logger.warning("Events wait in the outbox: %s", known.message)
            # What rang meanwhile is still there; the pause keeps a store that is away from being hammered.
            await asyncio.sleep(SWEEP_SECONDS)
