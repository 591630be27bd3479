"""Waking the workers: a job of procrastinate's says that there is an ingestion, which any worker with room claims."""

from procrastinate.contrib.django import app

INGEST_TASK = "knowledge.ingest"
INGESTION_QUEUE = "ingestion"


def defer_ingestion() -> None:
    """Wakes a worker once the caller's transaction is committed."""
    app.configure_task(INGEST_TASK, queue=INGESTION_QUEUE).defer()
