"""What procrastinate runs: found by its autodiscovery."""

import logging
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from procrastinate.contrib.django import app

from accounts.threads import in_thread
from chat.jobs import ANSWER_TASK, RUNS_QUEUE
from chat.runner import current_runner
from events import journal
from events.conf import conf

logger = logging.getLogger(__name__)


@app.task(name=ANSWER_TASK, queue=RUNS_QUEUE)
async def answer(message_id: str) -> None:
    """Starts a run in this worker. The job is done when the run has begun: from then on its lease guards it."""
    await current_runner().answer(UUID(message_id))


@app.periodic(cron="17 3 * * *")
@app.task(name="events.prune", queue="maintenance")
async def prune_message_events(timestamp: int) -> None:
    """Deletes journals older than MESSAGE_EVENTS_RETENTION_DAYS, every night."""
    before = timezone.now() - timedelta(days=conf.MESSAGE_EVENTS_RETENTION_DAYS)
    count = await in_thread(journal.prune, before=before, batch_size=5000)
    logger.info("Pruned %d events (asked for at %d).", count, timestamp)
