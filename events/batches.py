"""Writing a durable stream batch by batch, from any process: for streams that nobody holds open.

The journal is written first, in the transaction of whatever the events tell; who locks the stream's row is its
writer for so long. Each batch takes a lease number of its own, so that a broker which hears of two batches in
the wrong order refuses the older one. It is told after the commit. Should that fail, readers find the events in
the journal with the hub's next sweep, and the next batch puts them back.
"""

import logging
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import transaction

from events import journal
from events.broker.base import Appended, BaseBroker, DurableAppend
from events.broker.connect import connect
from events.event import START, Event, EventId, is_terminal, storable
from events.exceptions import BrokerUnavailable, JournalUnavailable, LeaseLost
from events.metrics import APPENDED
from events.models import DurableStream
from events.publishing import now_ms
from events.streams import Stream

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
"""How long a broker that did not answer is left alone: it would hold up every batch."""

_left_alone_until = 0.0


def append_with_commit(*, stream: Stream, events: Sequence[tuple[str, dict[str, Any]]]) -> list[Event]:
    """Appends (type, data) pairs to a stream that `journal.create` began, with the current transaction; the events.

    A terminal event ends the stream. Raises `LeaseLost` when it has ended or does not exist.
    """
    row = DurableStream.objects.select_for_update().filter(name=stream.name, ended_at=None).first()
    if row is None:
        raise LeaseLost(f"The stream {stream.name} has ended or does not exist.")
    head = journal.heads([stream])[stream.name].head.major
    at = now_ms()
    made = [Event(EventId(number, 0), type_, storable(data), at) for number, (type_, data) in enumerate(events, head + 1)]
    if not made:
        return []
    lease, ended = row.lease + 1, is_terminal(made[-1])
    DurableStream.objects.filter(pk=row.pk).update(lease=lease)
    if ended:
        journal.end(stream=stream, lease=lease, events=made)
    else:
        journal.append([(stream, lease, made)])
    append = DurableAppend(stream, lease, made, ended=ended)
    # Not a partial: Django logs a robust function's failure by its __qualname__, and fails itself where there is none.
    transaction.on_commit(lambda: _tell(append), robust=True)
    return made


def _tell(append: DurableAppend) -> None:
    global _left_alone_until
    if time.monotonic() < _left_alone_until:
        return
    try:
        if _broker().append_durable_now(append) is Appended.LOST:
            # It was wiped, or an earlier batch never came to it.
            _broker().seed_now(append.stream, append.lease, journal.read(append.stream, START))
            _broker().append_durable_now(append)
        APPENDED.labels(append.stream.kind).inc(len(append.events))
    except (BrokerUnavailable, JournalUnavailable) as error:
        _left_alone_until = time.monotonic() + PAUSE_SECONDS
        logger.warning("The broker did not hear of events of %s; readers find them in the journal: %s", append.stream.name, error)


@cache
def _broker() -> BaseBroker:
    return connect()
