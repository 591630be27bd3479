"""The worker process: procrastinate's loop beside our runner, each surviving the other's trouble."""

import asyncio
import logging
import signal
from typing import Any

import psycopg
from procrastinate import App
from procrastinate.contrib.django import app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.psycopg_connector import PsycopgConnector

from chat.conf import conf
from chat.runner import Runner, use_runner
from chat.sweep import beat_seconds
from events.webhooks.worker import WebhookWorker
from knowledge.ingester import current_ingester
from notifications.worker import NotificationWorker

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
CONNECTION_SECONDS = 3.0
"""How long procrastinate waits for a connection before it is started again."""


async def work(**options: Any) -> None:
    """Works until SIGTERM or SIGINT. `options`: those of procrastinate's `run_worker_async`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    runner = Runner()
    await runner.start()
    use_runner(runner)
    ingester = current_ingester()
    ingester.start()
    notifications = NotificationWorker()
    notifications.start()
    webhooks = WebhookWorker()
    webhooks.start()
    jobs = asyncio.create_task(_fetch_jobs(options, stopping), name="procrastinate")
    logger.info("The worker is ready.")
    try:
        await stopping.wait()
    finally:
        logger.info("The worker stops.")
        runner.closing = True
        jobs.cancel()
        await asyncio.gather(jobs, return_exceptions=True)
        await webhooks.close()
        await notifications.close()
        await ingester.close()
        current_ingester.cache_clear()
        await runner.close()
        use_runner(None)


async def _fetch_jobs(options: dict[str, Any], stopping: asyncio.Event) -> None:
    """procrastinate's worker ends when its database connection does; runs go on, and it is started again."""
    settings = {
        "concurrency": conf.RUN_CONCURRENCY,
        "delete_jobs": "always",
        "shutdown_graceful_timeout": 1.0,
        # A run whose job a dead worker had taken waits no longer than a lease: see `sweeping.requeue_forgotten`.
        "update_heartbeat_interval": beat_seconds(),
        **options,
    }
    while not stopping.is_set():
        try:
            # procrastinate's pool waits twice as long after every failed attempt: it gives up soon, and here we ask every second.
            async with await psycopg.AsyncConnection.connect(**connector_params()):
                pass
            connector = PsycopgConnector(kwargs=_hurried(connector_params()), min_size=1, max_size=4, timeout=CONNECTION_SECONDS)
            with app.replace_connector(connector):
                await _run(app, settings)
        except Exception as error:
            logger.warning("No jobs can be fetched: %s", error)
        await asyncio.sleep(RESTART_SECONDS)


def _hurried(parameters: dict[str, Any]) -> dict[str, Any]:
    """Connection parameters under which taking a job does not wait for the disk.

    A job only starts a run, and starting it twice does nothing: a database that crashes may give the same job again.
    """
    options = f"{parameters.get('options') or ''} -c synchronous_commit=off".strip()
    return parameters | {"options": options}


async def _run(current: App, settings: dict[str, Any]) -> None:
    async with current.open_async():
        await current.run_worker_async(install_signal_handlers=False, wait=True, **settings)
