"""Waking the workers: a job of procrastinate's says that there is an ingestion, which any worker with room claims."""

from events.jobs import defer

INGEST_TASK = "knowledge.ingest"
INGESTION_QUEUE = "ingestion"


def defer_ingestion() -> None:
    """Wakes a worker once the caller's transaction is committed."""
    defer(INGEST_TASK, queue=INGESTION_QUEUE)
