"""What procrastinate runs: found by its autodiscovery."""

import logging
from uuid import UUID

from procrastinate.contrib.django import app

from accounts.threads import in_thread
from chat.jobs import ANSWER_TASK, RUNS_QUEUE
from chat.runner import current_runner
from events.retention import prune_journal

logger = logging.getLogger(__name__)


@app.task(name=ANSWER_TASK, queue=RUNS_QUEUE)
async def answer(message_id: str) -> None:
    """Starts a run in this worker. The job is done when the run has begun: from then on its lease guards it."""
    await current_runner().answer(UUID(message_id))


@app.periodic(cron="17 3 * * *")
@app.task(name="events.prune", queue="maintenance")
async def prune_message_events(timestamp: int) -> None:
    """Deletes journals older than MESSAGE_EVENTS_RETENTION_DAYS, every night."""
    pruned = await in_thread(prune_journal)
    logger.info("Pruned %d events of %d streams (asked for at %d).", pruned.events, pruned.streams, timestamp)
