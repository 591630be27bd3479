"""Appending to backlog streams. Durable streams have one writer: see `writer.py`."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from events.broker.base import BaseBroker, OnceAppend
from events.broker.connect import connect
from events.conf import conf
from events.event import EventId, pack
from events.exceptions import InvalidRequest, TooLarge
from events.hub import current_hub
from events.metrics import APPENDED
from events.streams import Stream

TYPE = re.compile(r"(?=.{1,100}\Z)[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", re.ASCII)
"""What a type may be called. Other services publish types that this one does not know."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One event to append: to which backlog stream, of which type, with what data.

    `key`: where it is published with a commit, it is appended only if none with the same key was within a day.
    """

    stream: Stream
    type: str
    data: dict[str, Any]
    key: str = ""


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def publish(*, stream: Stream, type: str, data: dict[str, Any]) -> EventId | None:
    """Appends one event to a backlog stream, from synchronous code; its id, or None when ENABLE_SSE_PUSH is off.

    Raises `BrokerUnavailable`, `InvalidRequest` and `TooLarge`.
    """
    packed = _packed([Publication(stream, type, data)])
    return _broker().append_now(packed)[0] if packed else None


def publish_once(items: Sequence[tuple[Publication, str]], *, remember: int) -> list[EventId]:
    """Appends each event unless one with the same key was within `remember` seconds; the ids given now or then.

    [] when ENABLE_SSE_PUSH is off. Raises as `publish`.
    """
    wanted = [OnceAppend(each.stream, _pack(each), key, remember) for each, key in items if is_wanted(each)]
    return _broker().append_once_now(wanted) if wanted else []


async def publish_many(publications: Sequence[Publication]) -> list[EventId]:
    """Appends events from the event loop, in one round trip; their ids in the same order ([] when ENABLE_SSE_PUSH is off)."""
    packed = _packed(publications)
    return await current_hub().broker.append(packed) if packed else []


@cache
def _broker() -> BaseBroker:
    return connect()


def _packed(publications: Sequence[Publication]) -> list[tuple[Stream, str]]:
    return [(each.stream, _pack(each)) for each in publications if is_wanted(each)]


def is_wanted(publication: Publication) -> bool:
    """Whether it is to be appended at all: ENABLE_SSE_PUSH is about what clients are told."""
    return conf.ENABLE_SSE_PUSH or publication.stream.internal


def check(publication: Publication) -> str:
    """The event as the broker keeps it. Raises `InvalidRequest`, `TooLarge`."""
    if publication.stream.durable:
        raise InvalidRequest(f"{publication.stream.name} has one writer of its own; nobody else can append to it.")
    if not TYPE.fullmatch(publication.type):
        raise InvalidRequest(
            f"A type has the form source.ingest.queued: lower-case words joined by dots, not {publication.type!r}."
        )
    packed = pack(publication.type, publication.data, now_ms())
    if len(packed) > conf.EVENT_MAX_BYTES:
        raise TooLarge(f"The event has {len(packed)} bytes; at most {conf.EVENT_MAX_BYTES} are accepted.")
    return packed


def _pack(publication: Publication) -> str:
    packed = check(publication)
    APPENDED.labels(publication.stream.kind).inc()
    return packed
