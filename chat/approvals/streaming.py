"""Events in the stream of a run that waits: it has no writer, so who has something to say takes the lease for that long."""

import logging
import uuid
from types import TracebackType
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction

from accounts.threads import in_thread
from chat.services.questions import message_stream
from events import journal
from events.broker.base import Appended, BaseBroker, DurableAppend
from events.broker.connect import connect
from events.event import START, Event, EventId, storable
from events.exceptions import BrokerUnavailable
from events.metrics import APPENDED
from events.publishing import now_ms
from events.streams import Stream

logger = logging.getLogger(__name__)


class Appending:
    """A transaction that appends to the stream of a waiting run. Use it with `with`; readers hear of it after the commit.

    It locks the stream's row first, before the run's and its approvals', as the writing of a run's end does: in another
    order two processes could wait for each other. Raises `LeaseLost` when the stream has ended.
    """

    def __init__(self, message_id: uuid.UUID) -> None:
        self._stream = message_stream(message_id)
        self._events: list[Event] = []
        self._transaction = transaction.atomic()

    def __enter__(self) -> "Appending":
        self._transaction.__enter__()
        try:
            self._lease = journal.take_lease(stream=self._stream)
            # All of it is there: whoever waits has journaled everything before.
            self._head = journal.heads([self._stream])[self._stream.name].head.major
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def append(self, type: str, data: dict[str, Any]) -> None:
        """One more event."""
        self._events.append(Event(EventId(self._head + len(self._events) + 1, 0), type, storable(data), now_ms()))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._events:
            journal.commit(stream=self._stream, lease=self._lease, events=self._events)
        elif kind is None:
            # Nothing was to be said after all: the lease, too, stays whose it was.
            transaction.set_rollback(True)
        self._transaction.__exit__(kind, error, trace)
        if kind is None and self._events:
            async_to_sync(_tell)(self._stream, self._lease, self._events)


async def _tell(stream: Stream, lease: int, events: list[Event]) -> None:
    """Tells the broker. Where it cannot be told, the hub finds the events in the journal."""
    broker = connect()
    try:
        await tell(broker, stream, lease, events)
    except BrokerUnavailable as error:
        logger.warning("The broker did not hear of the last events of %s: %s", stream.name, error.message)
    finally:
        await broker.close()


async def tell(broker: BaseBroker, stream: Stream, lease: int, events: list[Event]) -> None:
    """Appends committed events, unless someone with a newer lease has the stream: who took that has read them."""
    if await broker.fence(stream, lease) is None:
        return
    answer = (await broker.append_durable([DurableAppend(stream, lease, events)]))[0]
    if answer is Appended.LOST:
        await broker.seed(stream, lease, await in_thread(journal.read, stream, START))
    APPENDED.labels(stream.kind).inc(len(events))
