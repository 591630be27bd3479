"""What procrastinate runs: found by its autodiscovery."""

import logging
import uuid

from procrastinate.contrib.django import app

from accounts.threads import in_thread
from plugins.connecting import current_connector
from plugins.jobs import CONNECT_TASK, CONNECTIONS_QUEUE
from plugins.steps import sweep

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
