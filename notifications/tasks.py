"""What procrastinate runs: found by its autodiscovery."""

import logging

from procrastinate.contrib.django import app

from accounts.threads import in_thread
from notifications.retention import prune_notifications

logger = logging.getLogger(__name__)


@app.periodic(cron="37 3 * * *")
@app.task(name="notifications.prune", queue="maintenance")
async def prune_old_notifications(timestamp: int) -> None:
    """Deletes notifications older than NOTIFICATIONS_RETENTION_DAYS, every night."""
    pruned = await in_thread(prune_notifications)
    logger.info("Pruned %d notifications (asked for at %d).", pruned, timestamp)
