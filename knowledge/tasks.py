"""What procrastinate runs: found by its autodiscovery."""

from procrastinate.contrib.django import app

from knowledge.ingester import current_ingester
from knowledge.jobs import INGEST_TASK, INGESTION_QUEUE


@app.task(name=INGEST_TASK, queue=INGESTION_QUEUE)
async def ingest() -> None:
    """Says that an ingestion waits. The job is done at once: the ingestion's own row is the queue, and its lease guards it."""
    current_ingester().wake()


@app.periodic(cron="* * * * *")
@app.task(name="knowledge.wake", queue=INGESTION_QUEUE, queueing_lock="knowledge.wake")
async def wake(timestamp: int) -> None:  # noqa: ARG001 - procrastinate's signature
    """Every minute, so that a worker that was started after another's death looks for what that left."""
    current_ingester().wake()
