"""The worker process, run in this event loop: procrastinate's loop beside our runner."""

import asyncio
import os
import signal

import pytest
from django.db import connection, transaction
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.threads import in_thread
from chat.jobs import ANSWER_TASK, defer_answer
from chat.models import Run, Worker
from chat.runner import current_runner
from chat.services import runs
from chat.worker import work
from tests.chat.conftest import ask, asked, ended, journaled, run_of, texts, until
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
async def worker(stores, settings):
    """A worker in this loop; it ends as by SIGTERM."""
    settings.GRACEFUL_SHUTDOWN_SECONDS = patiently(2.0)
    task = asyncio.create_task(work())
    await until(lambda: Worker.objects.exists())
    yield task
    if not task.done():
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(patiently(20)):
            await task


def end_job_connections():
    """Cuts procrastinate's own connections, as a restarted database does; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE '%procrastinate%'"
        )
        return cursor.fetchone()[0]


async def test_what_is_asked_is_answered(worker, alice):
    message = await asked(alice, {"text": "a"})
    run = await ended(message)
    assert (run.status, run.message.text, run.worker) == ("completed", "a", current_runner().name)


async def test_what_was_asked_before_it_started_is_answered(stores, alice):
    messages = [await asked(alice, {"text": str(number)}) for number in range(5)]
    task = asyncio.create_task(work())
    for number, message in enumerate(messages):
        assert (await ended(message)).message.text == str(number)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(patiently(20)):
        await task


async def test_answers_go_on_and_new_ones_are_fetched_after_the_database_cut_the_job_loop(worker, alice):
    running = await asked(alice, {"text": "one"}, {"pause": 1.0}, {"text": " two"})
    await until(lambda: texts(journaled(running)).startswith("one"))
    assert await in_thread(end_job_connections)
    later = await asked(alice, {"text": "later"})
    assert (await ended(running)).message.text == "one two"
    assert (await ended(later)).message.text == "later"
    assert not worker.done()


async def test_sigterm_lets_answers_end_and_hands_back_the_rest(worker, alice):
    silent = await asked(alice, {"hang": True})
    await until(lambda: run_of(silent).status == Run.Status.RUNNING)
    slow = await asked(alice, {"text": "one"}, {"pause": 1.0}, {"text": " two"})
    await until(lambda: texts(journaled(slow)).startswith("one"))
    async with asyncio.timeout(patiently(10)):
        while silent.pk not in current_runner()._drivers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(patiently(20)):
        await worker
    assert (await in_thread(run_of, slow)).message.text == "one two"
    assert (await in_thread(run_of, silent)).status == Run.Status.QUEUED
    assert not await in_thread(Worker.objects.exists)
    with pytest.raises(RuntimeError):
        current_runner()


async def test_a_job_deferred_in_a_worker_belongs_to_its_transaction(worker, alice):
    """As handing back does: deferred on procrastinate's own connections it could not, and now and then hung for ever."""

    def ask_and_roll_back():
        with transaction.atomic():
            ask(alice)
            found = ProcrastinateJob.objects.filter(task_name=ANSWER_TASK).count()
            transaction.set_rollback(True)
        return found, ProcrastinateJob.objects.filter(task_name=ANSWER_TASK).count()

    await ended(await asked(alice, {"text": "procrastinate is connected"}))
    assert await in_thread(ask_and_roll_back) == (1, 0)


async def test_jobs_of_runs_that_are_over_are_done_without_effect(worker, alice):
    message = await asked(alice, {"text": "a"})
    await ended(message)
    await in_thread(defer_answer, message.pk)
    other = await asked(alice, {"text": "b"})
    await ended(other)
    assert (await in_thread(run_of, message)).lease == 1
    assert (await in_thread(runs.counts))["queued"] == 0
