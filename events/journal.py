"""The cold log: durable streams in Postgres. Synchronous; the event loop comes through `in_thread`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from events.event import Event, EventId, to_json
from events.exceptions import JournalUnavailable, LeaseLost
from events.models import DurableStream, JournalEvent
from events.streams import Stream

UNREACHABLE = (OperationalError, InterfaceError, OSError)


@dataclass(frozen=True, slots=True)
class JournalHead:
    """How far the journal of one stream goes, and whether the stream has ended."""

    head: EventId
    ended: bool


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many streams went, and how many events with them."""

    streams: int
    events: int


def create(*, stream: Stream, events: Sequence[Event] = ()) -> DurableStream:
    """Begins a durable stream with its first events, inside the caller's transaction."""
    row = DurableStream.objects.create(name=stream.name)
    _insert([(row.pk, event) for event in events])
    return row


def take_lease(*, stream: Stream) -> int:
    """Makes the caller the stream's only writer: the new lease number; every lower one is refused from now on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE events_durablestream SET lease = lease + 1 WHERE name = %s AND ended_at IS NULL RETURNING lease",
            [stream.name],
        )
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(f"The stream {stream.name} has ended or does not exist.")
    return int(row[0])


def hold(*, stream: Stream, lease: int) -> None:
    """Keeps a lease as it is until the caller's transaction ends. Raises `LeaseLost` when it is stale or the stream has ended."""
    if _lock([stream.name]).get(stream.name, (0, -1))[1] != lease:
        raise LeaseLost


def append(batches: Sequence[tuple[Stream, int, Sequence[Event]]]) -> list[bool]:
    """Writes batches of (stream, lease number, events) in one transaction; False for those whose lease is stale.

    Written twice, an event is kept once. Raises `JournalUnavailable`.
    """
    try:
        with transaction.atomic():
            rows = _lock([stream.name for stream, _, _ in batches])
            held = [rows.get(stream.name, (0, -1))[1] == lease for stream, lease, _ in batches]
            _insert(
                [
                    (rows[stream.name][0], event)
                    for (stream, _, events), ok in zip(batches, held, strict=True)
                    if ok
                    for event in events
                ]
            )
            return held
    except UNREACHABLE as error:
        raise JournalUnavailable from error


def commit(*, stream: Stream, lease: int, events: Sequence[Event], also: Callable[[], None] | None = None) -> None:
    """Writes events of a stream that goes on; `also` runs in the same transaction. Raises as `end`."""
    with transaction.atomic():
        _write(stream, lease, events)
        if also is not None:
            also()


def end(*, stream: Stream, lease: int, events: Sequence[Event], also: Callable[[], None] | None = None) -> None:
    """Writes the last events of a stream and ends it; `also` runs in the same transaction.

    Raises `LeaseLost` when another writer has taken over or the stream has ended.
    """
    with transaction.atomic():
        row = _write(stream, lease, events)
        row.ended_at = timezone.now()
        row.save(update_fields=["ended_at"])
        if also is not None:
            also()


def _write(stream: Stream, lease: int, events: Sequence[Event]) -> DurableStream:
    """Locks the stream's row for the transaction."""
    row = DurableStream.objects.select_for_update().filter(name=stream.name).first()
    if row is None or row.lease != lease or row.ended_at is not None:
        raise LeaseLost
    _insert([(row.pk, event) for event in events])
    return row


def read(stream: Stream, cursor: EventId, *, limit: int | None = None) -> list[Event]:
    """The events directly after `cursor`, without a gap. Raises `JournalUnavailable`."""
    try:
        rows = JournalEvent.objects.filter(stream__name=stream.name, seq__gt=cursor.major).order_by("seq")
        found = rows.values_list("seq", "type", "data", "at")[:limit]
        events: list[Event] = []
        for expected, (seq, type_, data, at) in enumerate(found, start=cursor.major + 1):
            if seq != expected:
                break
            events.append(Event(EventId(seq, 0), type_, data, at))
        return events
    except UNREACHABLE as error:
        raise JournalUnavailable from error


def heads(streams: Sequence[Stream]) -> dict[str, JournalHead]:
    """How far each known stream is journaled. Raises `JournalUnavailable`."""
    query = """
        SELECT s.name, COALESCE(e.seq, 0), s.ended_at IS NOT NULL
        FROM events_durablestream s
        LEFT JOIN LATERAL (SELECT seq FROM events_journalevent WHERE stream_id = s.id ORDER BY seq DESC LIMIT 1) e ON TRUE
        WHERE s.name = ANY(%s)
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [[stream.name for stream in streams]])
            return {name: JournalHead(EventId(seq, 0), ended) for name, seq, ended in cursor.fetchall()}
    except UNREACHABLE as error:
        raise JournalUnavailable from error


# Streams that another prune has locked are its own to delete. The sum is of the streams before, so that one always goes.
PRUNE = """
    WITH old AS (
        SELECT id FROM events_durablestream WHERE ended_at < %s ORDER BY ended_at, id LIMIT 500 FOR UPDATE SKIP LOCKED
    ), sized AS (
        SELECT id, (SELECT count(*) FROM events_journalevent e WHERE e.stream_id = old.id) AS size FROM old
    ), summed AS (
        SELECT id, sum(size) OVER (ORDER BY id) - size AS already FROM sized
    )
    SELECT id FROM summed WHERE already < %s
"""


def prune(
    *, before: datetime, batch_size: int, dry_run: bool = False, progress: Callable[[Pruned], None] | None = None
) -> Pruned:
    """Deletes streams that ended before `before`, row and events; how many (would) go.

    One transaction deletes whole streams with together about `batch_size` events, at least one stream: a stream
    with a part of its events would keep its readers waiting for the others. `progress` hears of the sum so far.
    """
    old = DurableStream.objects.filter(ended_at__lt=before)
    if dry_run:
        return Pruned(old.count(), JournalEvent.objects.filter(stream__in=old).count())
    total = Pruned(0, 0)
    while True:
        batch = _prune_batch(before, batch_size)
        if not batch.streams:
            return total
        total = Pruned(total.streams + batch.streams, total.events + batch.events)
        if progress is not None:
            progress(total)


def _prune_batch(before: datetime, batch_size: int) -> Pruned:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PRUNE, [before, batch_size])
        ids = [pk for (pk,) in cursor.fetchall()]
        cursor.execute("DELETE FROM events_journalevent WHERE stream_id = ANY(%s)", [ids])
        events = cursor.rowcount
        cursor.execute("DELETE FROM events_durablestream WHERE id = ANY(%s)", [ids])
        return Pruned(cursor.rowcount, events)


def _lock(names: list[str]) -> dict[str, tuple[int, int]]:
    """(row id, lease number) of live streams, held against a change of lease until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, id, lease FROM events_durablestream WHERE name = ANY(%s) AND ended_at IS NULL ORDER BY id FOR SHARE",
            [names],
        )
        return {name: (pk, lease) for name, pk, lease in cursor.fetchall()}


def _insert(rows: Sequence[tuple[int, Event]]) -> None:
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO events_journalevent (stream_id, seq, type, data, at) "
            "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[]::jsonb[], %s::bigint[]) "
            "ON CONFLICT (stream_id, seq) DO NOTHING",
            [
                [pk for pk, _ in rows],
                [event.id.major for _, event in rows],
                # A plain str: psycopg would send a StrEnum as an enum.
                [str(event.type) for _, event in rows],
                [to_json(event.data) for _, event in rows],
                [event.at for _, event in rows],
            ],
        )
