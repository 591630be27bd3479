"""Appending to backlog streams. Durable streams have one writer: see `writer.py`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import transaction

from events.broker.base import BaseBroker
from events.broker.connect import connect
from events.conf import conf
from events.event import EVENT_TYPES, EventId, pack
from events.exceptions import InvalidRequest, TooLarge
from events.hub import current_hub
from events.metrics import APPENDED
from events.streams import Stream


@dataclass(frozen=True, slots=True)
class Publication:
    """One event to append: to which backlog stream, of which type, with what data."""

    stream: Stream
    type: str
    data: dict[str, Any]


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def publish(*, stream: Stream, type: str, data: dict[str, Any]) -> EventId | None:
    """Appends one event to a backlog stream, from synchronous code; its id, or None when ENABLE_SSE_PUSH is off.

    Raises `BrokerUnavailable`, `InvalidRequest` and `TooLarge`.
    """
    packed = _packed([Publication(stream, type, data)])
    return _broker().append_now(packed)[0] if packed else None


def publish_on_commit(*, stream: Stream, type: str, data: dict[str, Any]) -> None:
    """`publish` once the current transaction is committed, so that no reader hears of what never happened."""

    def publish_now() -> None:
        publish(stream=stream, type=type, data=data)

    # Not a partial: Django logs a robust function's failure by its __qualname__, and fails itself where there is none.
    transaction.on_commit(publish_now, robust=True)


async def publish_many(publications: Sequence[Publication]) -> list[EventId]:
    """Appends events from the event loop, in one round trip; their ids in the same order ([] when ENABLE_SSE_PUSH is off)."""
    packed = _packed(publications)
    return await current_hub().broker.append(packed) if packed else []


@cache
def _broker() -> BaseBroker:
    return connect()


def _packed(publications: Sequence[Publication]) -> list[tuple[Stream, str]]:
    if not conf.ENABLE_SSE_PUSH:
        return []
    return [(each.stream, _pack(each)) for each in publications]


def _pack(publication: Publication) -> str:
    if publication.stream.durable:
        raise InvalidRequest(f"{publication.stream.name} has one writer of its own; nobody else can append to it.")
    if publication.type not in EVENT_TYPES:
        raise InvalidRequest(f"There is no event type called {publication.type!r}.")
    packed = pack(publication.type, publication.data, now_ms())
    if len(packed) > conf.EVENT_MAX_BYTES:
        raise TooLarge(f"The event has {len(packed)} bytes; at most {conf.EVENT_MAX_BYTES} are accepted.")
    APPENDED.labels(publication.stream.kind).inc()
    return packed


def ping_broker() -> None:
    """Returns when the broker answers, from synchronous code; raises `BrokerUnavailable`."""
    _broker().ping_now()
