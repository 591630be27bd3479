"""The life of an ingestion: queued, claimed, filled batch by batch, made visible at once; failed, cancelled, taken over.

A worker writes under its lease number, checked in the transaction of every write: one that was
taken over, cancelled or deleted meanwhile can add nothing. Chunks are added in order, so the next
worker goes on after those that are there.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now

from events.exceptions import Conflict, LeaseLost
from knowledge.announcing import announce, announce_change
from knowledge.conf import conf
from knowledge.embeddings import registry
from knowledge.extraction.kinds import KINDS
from knowledge.jobs import defer_ingestion
from knowledge.models import Chunk, Document, Ingestion, Source
from knowledge.vectors import Vector, vector_store

Status = Source.Status

UNREACHABLE = (OperationalError, InterfaceError, OSError)
"""What is raised while the database is away; a mistake in the data is not among them."""

DIED = "The server stopped {} times while it took this in, most likely because of this document. Split it, or save it anew."
CANCELLED = "Cancelled."


@dataclass(frozen=True, slots=True)
class Claim:
    """An ingestion that this worker may do, under its lease number.

    `done`: chunks that are there from an earlier worker, `percent`: how far it came.
    """

    ingestion_id: uuid.UUID
    lease: int
    source_id: uuid.UUID
    purpose: str
    operation: str
    owner: str
    name: str
    file_id: int
    file_name: str
    document_id: int
    model: str
    metadata: dict[str, Any]
    done: int
    percent: int


def queue(*, source: Source, operation: str) -> Ingestion:
    """Queues the taking in of a source's file, part of the caller's transaction. Raises `Conflict` while one is open."""
    if source.ingestions.filter(status__in=Source.OPEN).exists():
        raise Conflict("This source is being taken in. Wait until it is ready, or cancel that first.")
    last = source.ingestions.aggregate(last=Max("generation"))["last"] or 0
    ingestion = Ingestion.objects.create(source=source, operation=operation, generation=last + 1)
    source.status, source.error = Status.QUEUED, ""
    source.save(update_fields=["status", "error", "updated_at"])
    defer_ingestion()
    announce(source=source, operation=operation, step="queued")
    return ingestion


@transaction.atomic
def claim(*, worker: str) -> Claim | None:
    """Makes a queued ingestion this worker's, the oldest of the owner with the fewest in work; None when nothing waits."""
    busy = (
        Ingestion.objects.filter(status=Status.PROCESSING, source__owner=OuterRef("source__owner"))
        .order_by()
        .values("source__owner")
        .annotate(number=Count("pk"))
        .values("number")
    )
    ingestion = (
        Ingestion.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(status=Status.QUEUED)
        .order_by(Coalesce(Subquery(busy), 0), "created_at")
        .first()
    )
    if ingestion is None:
        return None
    source = Source.objects.select_related("owner", "file").get(pk=ingestion.source_id)
    ingestion.status, ingestion.worker = Status.PROCESSING, worker
    ingestion.lease += 1
    ingestion.attempts += 1
    ingestion.embedding_model = ingestion.embedding_model or registry.resolve(source.wanted_model)
    ingestion.beat_at = Now()
    ingestion.started_at = ingestion.started_at or Now()
    ingestion.save()
    Source.objects.filter(pk=source.pk).update(status=Status.PROCESSING)
    document, _ = Document.objects.get_or_create(
        source=source, generation=ingestion.generation, path=source.name, defaults={"title": source.name}
    )
    assert source.file is not None  # noqa: S101 - kept as long as the source
    return Claim(
        ingestion_id=ingestion.pk,
        lease=ingestion.lease,
        source_id=source.pk,
        purpose=source.purpose,
        operation=ingestion.operation,
        owner=source.owner.public_id,
        name=source.name,
        file_id=source.file.pk,
        file_name=source.file.name,
        document_id=document.pk,
        model=ingestion.embedding_model,
        metadata=source.metadata,
        done=document.chunks.count(),
        percent=ingestion.percent,
    )


def _held(claim: Claim) -> Ingestion:
    """The row of an ingestion that is still ours, locked; raises `LeaseLost`."""
    found = (
        Ingestion.objects.select_for_update(of=("self",))
        .filter(pk=claim.ingestion_id, lease=claim.lease, status=Status.PROCESSING)
        .first()
    )
    if found is None:
        raise LeaseLost("This ingestion was cancelled, deleted or taken over.")
    return found


def beat(*, claims: Sequence[Claim]) -> set[uuid.UUID]:
    """Writes a sign of life for each; those that are still ours."""
    ours = Q(pk__in=[])
    for each in claims:
        ours |= Q(pk=each.ingestion_id, lease=each.lease)
    held = Ingestion.objects.filter(ours, status=Status.PROCESSING)
    held.update(beat_at=Now())
    return set(held.values_list("pk", flat=True))


@transaction.atomic
def add_chunks(*, claim: Claim, chunks: Sequence[dict[str, Any]], vectors: Sequence[Sequence[Vector]], percent: int) -> None:
    """Adds the next chunks, all or none. Raises `LeaseLost`."""
    ingestion = _held(claim)
    columns = 'document_id, position, text, heading, start, "end", tokens, metadata'
    with connection.cursor() as cursor, cursor.copy(f"COPY knowledge_chunk ({columns}) FROM STDIN") as copy:
        for chunk in chunks:
            metadata = json.dumps(claim.metadata | chunk["metadata"])
            row = [claim.document_id, chunk["position"], chunk["text"], chunk["heading"], chunk["start"], chunk["end"]]
            copy.write_row([*row, chunk["tokens"], metadata])
    vector_store().add(document=claim.document_id, first=chunks[0]["position"], vectors=vectors)
    ingestion.percent, ingestion.beat_at = percent, Now()
    ingestion.save(update_fields=["percent", "beat_at"])


def count_chunks(*, claim: Claim) -> int:
    """How many chunks the ingestion has so far."""
    return Chunk.objects.filter(document_id=claim.document_id).count()


@transaction.atomic
def finish(*, claim: Claim, kind: str, chars: int) -> None:
    """Makes the new generation the visible one and removes the old, at one moment. Raises `LeaseLost`."""
    ingestion = _held(claim)
    source = Source.objects.select_for_update(of=("self",)).select_related("owner").get(pk=claim.source_id)
    made = Chunk.objects.filter(document_id=claim.document_id).aggregate(chunks=Count("pk"), last=Max("position"))
    tokens = _sum_tokens(claim.document_id)
    Document.objects.filter(pk=claim.document_id).update(chars=chars, tokens=tokens, media_type=KINDS[kind])
    deleted = _delete_documents(source, keep=ingestion.generation)
    action = "updated" if source.generation else "added"
    source.generation, source.status, source.error = ingestion.generation, Status.READY, ""
    source.kind, source.embedding_model = kind, ingestion.embedding_model
    source.chunks, source.tokens, source.chars = made["chunks"], tokens, chars
    source.save()
    ingestion.status, ingestion.percent, ingestion.ended_at = Status.READY, 100, Now()
    ingestion.save(update_fields=["status", "percent", "ended_at"])
    if source.purpose == Source.Purpose.ATTACHMENT:
        more: dict[str, Any] = {"token_count": tokens, "mime_type": KINDS[kind]}
    else:
        more = {"tokens": tokens, "limited": False, "chunks_added": made["chunks"], "chunks_deleted": deleted}
    announce(source=source, operation=ingestion.operation, step="completed", **more)
    announce_change(source=source, action=action)


def _sum_tokens(document_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(SUM(tokens), 0) FROM knowledge_chunk WHERE document_id = %s", [document_id])
        return int(cursor.fetchone()[0])


def _delete_documents(source: Source, *, keep: int) -> int:
    """Deletes all generations but one; how many chunks those had."""
    old = Document.objects.filter(source=source).exclude(generation=keep)
    deleted, _ = Chunk.objects.filter(document__in=old).delete()
    old.delete()
    return deleted


def end(*, ingestion: Ingestion, status: Status, error: str) -> None:
    """Ends an open, locked ingestion without a result; what it made so far goes, an older generation stays."""
    source = Source.objects.select_for_update(of=("self",)).select_related("owner").get(pk=ingestion.source_id)
    _delete_documents(source, keep=source.generation)
    source.status, source.error = status, error
    source.save(update_fields=["status", "error", "updated_at"])
    ingestion.status, ingestion.error, ingestion.ended_at = status, error, Now()
    ingestion.save(update_fields=["status", "error", "ended_at"])
    more = {"cancelled": True} if status == Status.CANCELLED else {}
    announce(source=source, operation=ingestion.operation, step="failed", error=error, **more)


@transaction.atomic
def fail(*, claim: Claim, error: str) -> None:
    """Ends our ingestion because of `error`, a sentence that says what to do. Raises `LeaseLost`."""
    end(ingestion=_held(claim), status=Status.FAILED, error=error)


@transaction.atomic
def hand_back(*, claim: Claim) -> None:
    """Returns our ingestion to the queue, with all it has; the next worker goes on there. Raises `LeaseLost`."""
    ingestion = _held(claim)
    ingestion.attempts -= 1
    _requeue(ingestion)


def _requeue(ingestion: Ingestion) -> None:
    ingestion.status, ingestion.worker = Status.QUEUED, ""
    ingestion.save(update_fields=["status", "worker", "attempts"])
    Source.objects.filter(pk=ingestion.source_id).update(status=Status.QUEUED)
    defer_ingestion()


@transaction.atomic
def sweep() -> int:
    """Queues the ingestions of dead workers again, or fails them when too many died over them; how many there were."""
    dead = Ingestion.objects.select_for_update(of=("self",), skip_locked=True).filter(
        status=Status.PROCESSING, beat_at__lt=Now() - timedelta(seconds=conf.KNOWLEDGE_LEASE_SECONDS)
    )
    found = list(dead[:100])
    for ingestion in found:
        if ingestion.attempts >= conf.KNOWLEDGE_ATTEMPTS:
            end(ingestion=ingestion, status=Status.FAILED, error=DIED.format(ingestion.attempts))
        else:
            _requeue(ingestion)
    return len(found)
