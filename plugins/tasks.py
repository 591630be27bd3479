"""What procrastinate runs: found by its autodiscovery."""

import logging
import uuid
from datetime import timedelta

from django.utils import timezone
from procrastinate.contrib.django import app

from accounts.threads import in_thread
from plugins import executions
from plugins.conf import conf
from plugins.connecting import current_connector
from plugins.jobs import CONNECT_TASK, CONNECTIONS_QUEUE
from plugins.steps import sweep
from plugins.tools.claims import end_silent

logger = logging.getLogger(__name__)


@app.task(name=CONNECT_TASK, queue=CONNECTIONS_QUEUE)
async def connect(connection_id: str) -> None:
    """Has this worker go on with a connection. The job is done at once: the connection's own status guards it."""
    current_connector().start(uuid.UUID(connection_id))


@app.periodic(cron="* * * * *")
@app.task(name="plugins.sweep", queue=CONNECTIONS_QUEUE, queueing_lock="plugins.sweep")
async def sweep_connections(timestamp: int) -> None:  # noqa: ARG001 - procrastinate's signature
    """Every minute: ends what a dead worker left, and what nobody approved."""
    ended = await in_thread(sweep)
    if ended:
        logger.info("Ended %d connections that nobody finished.", ended)


@app.periodic(cron="* * * * *")
@app.task(name="plugins.sweep_executions", queue=CONNECTIONS_QUEUE, queueing_lock="plugins.sweep_executions")
async def sweep_executions(timestamp: int) -> None:  # noqa: ARG001 - procrastinate's signature
    """Every minute: ends executions that expired, and calls of tools whose process died."""
    ended = await in_thread(executions.end_expired) + await in_thread(end_silent)
    if ended:
        logger.info("Ended %d executions that nobody ended.", ended)


@app.periodic(cron="41 3 * * *")
@app.task(name="plugins.prune_executions", queue="maintenance")
async def prune_executions(timestamp: int) -> None:  # noqa: ARG001 - procrastinate's signature
    """Every night: deletes executions older than PLUGINS_EXECUTION_RETENTION_DAYS."""
    before = timezone.now() - timedelta(days=conf.PLUGINS_EXECUTION_RETENTION_DAYS)
    logger.info("Pruned %d executions.", await in_thread(executions.prune, before=before))
