"""What procrastinate runs: found by its autodiscovery."""

import logging
from uuid import UUID

from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from accounts.threads import in_thread
from chat.approvals import mails
from chat.jobs import ANSWER_TASK, APPROVAL_MAIL_TASK, APPROVAL_MAILS_TASK, MAILS_QUEUE, RUNS_QUEUE
from chat.runner import current_runner
from events.retention import prune_journal
from events.webhooks.retention import prune_deliveries

logger = logging.getLogger(__name__)

TRIED = RetryStrategy(max_attempts=6, exponential_wait=4)
"""A mail server that is away is asked again for about an hour."""


@app.task(name=ANSWER_TASK, queue=RUNS_QUEUE)
async def answer(message_id: str) -> None:
    """Starts a run in this worker. The job is done when the run has begun: from then on its lease guards it."""
    await current_runner().answer(UUID(message_id))


@app.task(name=APPROVAL_MAILS_TASK, queue=MAILS_QUEUE, retry=TRIED)
async def approval_mails(batch_id: str) -> None:
    """Asks for a mail to each who may decide about a batch."""
    await in_thread(mails.defer_mails, UUID(batch_id))


@app.task(name=APPROVAL_MAIL_TASK, queue=MAILS_QUEUE, retry=TRIED)
async def approval_mail(batch_id: str, user_pk: int) -> None:
    """Sends one of them."""
    await in_thread(mails.send, UUID(batch_id), user_pk)


@app.periodic(cron="17 3 * * *")
@app.task(name="events.prune", queue="maintenance")
async def prune_message_events(timestamp: int) -> None:
    """Deletes journals older than MESSAGE_EVENTS_RETENTION_DAYS, and webhook deliveries, every night."""
    pruned = await in_thread(prune_journal)
    deliveries = await in_thread(prune_deliveries)
    logger.info(
        "Pruned %d events of %d streams, and %d webhook deliveries (asked for at %d).",
        pruned.events,
        pruned.streams,
        deliveries,
        timestamp,
    )
