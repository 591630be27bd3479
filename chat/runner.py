"""The runs of one worker process: claimed, driven side by side, kept alive, stopped, handed back."""

import asyncio
import logging
import os
import secrets
import socket
import uuid

from django.utils import timezone

from accounts.threads import in_thread
from chat.approvals import waiting
from chat.conf import conf
from chat.driver import Driver
from chat.engines.registry import close_engines
from chat.metrics import DRIVEN
from chat.services import claiming, runs, workers
from chat.services.claiming import Claim
from chat.services.endings import CANCELLED, WORKER_STOPPED
from chat.services.questions import message_stream
from chat.snapshot import Snapshot
from chat.sweep import Sweep, beat_seconds, lease_name, silence_seconds
from events import journal, outbox
from events.broker.connect import connect
from events.exceptions import BrokerUnavailable, JournalUnavailable, LeaseLost
from events.writer import StreamWriter, Writer

logger = logging.getLogger(__name__)

STOP_POLL_SECONDS = 0.3
RETRY_SECONDS = 0.5
START_AT_ONCE = 16
"""How many waiting runs one job starts beside its own."""
LAST_SECONDS = 3.0
"""How long a stopping worker waits for the ends of interrupted runs to be written."""


class Runner:
    """Everything a worker process does with runs. Runs do not depend on procrastinate's loop, which ends
    when the database goes away: a job only starts a run here."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.closing = False
        self._broker = connect()
        self._writer = Writer(broker=self._broker, flush_ms=conf.RUN_DELTA_FLUSH_MS)
        self._slots = asyncio.Semaphore(conf.RUN_CONCURRENCY)
        self._drivers: dict[uuid.UUID, Driver] = {}
        self._driving: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._claiming: set[uuid.UUID] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to live: heartbeats, stops, sweeps."""
        self._writer.start()
        await in_thread(workers.beat, worker=self.name)
        self._tasks = [
            asyncio.create_task(self._beat_forever(), name="heartbeat in Postgres"),
            asyncio.create_task(self._touch_forever(), name="heartbeat in the broker"),
            asyncio.create_task(self._stop_forever(), name="stops"),
            asyncio.create_task(Sweep(broker=self._broker).run_forever(), name="sweep of runs"),
            asyncio.create_task(outbox.Sender().run_forever(), name="outbox"),
            asyncio.create_task(waiting.wait_forever(), name="open approvals"),
        ]

    async def answer(self, message_id: uuid.UUID) -> None:
        """Starts a run, and those that wait beside it.

        Jobs are handed out one by one, slowly; after a burst the first few jobs start all the runs for which there is
        room, and the other jobs find them started.
        """
        if message_id not in self._driving and message_id not in self._claiming:
            await self._start(message_id)
        for other in await in_thread(runs.queued, limit=START_AT_ONCE):
            if self._slots.locked() or self.closing:
                break
            if other not in self._driving and other not in self._claiming:
                self._claiming.add(other)
                task = asyncio.create_task(self._start(other), name=f"start {other}")
                self._starting.add(task)
                task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # Its own job tries again, or the next sweep.
            logger.warning("A run could not be started early: %s", task.exception())

    async def _start(self, message_id: uuid.UUID) -> None:
        """Claims a run, when there is room, and drives it."""
        self._claiming.add(message_id)
        await self._slots.acquire()
        try:
            claim = None if self.closing else await in_thread(claiming.claim, message_id=message_id, worker=self.name)
        except BaseException:
            self._slots.release()
            raise
        finally:
            self._claiming.discard(message_id)
        if claim is None:
            self._slots.release()
            return
        task = asyncio.create_task(self._drive(claim), name=f"run {message_id}")
        self._driving[message_id] = task
        DRIVEN.set(len(self._driving))
        task.add_done_callback(lambda _: self._driven(message_id))

    def _driven(self, message_id: uuid.UUID) -> None:
        self._driving.pop(message_id, None)
        self._drivers.pop(message_id, None)
        self._slots.release()
        DRIVEN.set(len(self._driving))

    async def _drive(self, claim: Claim) -> None:
        try:
            opened = await self._open(claim)
            try:
                await self._drive_opened(claim, opened)
            finally:
                self._writer.release(opened)
        except LeaseLost:
            logger.warning("Run %s was taken over by another process; this one stops writing.", claim.message_id)
        except Exception:
            # Whatever it was, the run must not stay open because this process is alive: any sweep ends it now.
            logger.exception("Run %s could not be driven.", claim.message_id)
            await in_thread(claiming.disown, claim=claim)

    async def _open(self, claim: Claim) -> StreamWriter:
        while True:
            try:
                return await self._writer.open(stream=message_stream(claim.message_id), lease=claim.lease)
            except (BrokerUnavailable, JournalUnavailable) as error:
                logger.warning("Run %s waits to begin: %s", claim.message_id, error.message)
                await asyncio.sleep(RETRY_SECONDS)

    async def _drive_opened(self, claim: Claim, opened: StreamWriter) -> None:
        driver = Driver(claim=claim, writer=self._writer, stream=opened, snapshot=Snapshot.of(opened.earlier))
        opened.earlier = []
        self._drivers[claim.message_id] = driver
        fenced = asyncio.create_task(self._interrupt_when_fenced(opened, driver))
        try:
            await driver.drive()
        finally:
            fenced.cancel()

    async def _interrupt_when_fenced(self, opened: StreamWriter, driver: Driver) -> None:
        await opened.fenced.wait()
        driver.interrupt(None)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(beat_seconds())
            try:
                await in_thread(workers.beat, worker=self.name)
                await self._disown_forgotten()
            except journal.UNREACHABLE as error:
                logger.warning("No sign of life in Postgres: %s", error)

    async def _disown_forgotten(self) -> None:
        if self.closing:
            return  # What it hands back now it drives no longer. A worker that is gone has no runs that are not swept.
        now, driven = timezone.now(), [*self._driving, *self._claiming]
        count = await in_thread(claiming.disown_forgotten, worker=self.name, driven=driven, before=now)
        if count:
            logger.warning("%d runs were claimed without this worker hearing of it; a sweep goes on with them.", count)

    async def _touch_forever(self) -> None:
        while True:
            try:
                await self._broker.touch(lease_name(self.name), seconds=silence_seconds())
            except BrokerUnavailable as error:
                logger.warning("No sign of life in the broker: %s", error.__cause__ or error)
            await asyncio.sleep(beat_seconds())

    async def _stop_forever(self) -> None:
        while True:
            await asyncio.sleep(STOP_POLL_SECONDS)
            if not self._drivers:
                continue
            try:
                for message_id in await in_thread(runs.stop_requested, message_ids=list(self._drivers)):
                    driver = self._drivers.get(message_id)
                    if driver is not None:
                        driver.interrupt(CANCELLED)
            except journal.UNREACHABLE as error:
                logger.warning("Stops cannot be read: %s", error)

    async def close(self) -> None:
        """Hands back what has not begun, lets the rest finish within GRACEFUL_SHUTDOWN_SECONDS, and ends what is left."""
        self.closing = True
        for message_id, driver in list(self._drivers.items()):
            # One that was to be handed back may have ended, or failed, while another was.
            if not driver.started and message_id in self._driving:
                await self._hand_back(message_id, driver)
        if self._driving:
            logger.info("Waiting for %d answers to end.", len(self._driving))
            await asyncio.wait(self._driving.values(), timeout=conf.GRACEFUL_SHUTDOWN_SECONDS)
        for driver in list(self._drivers.values()):
            driver.interrupt(WORKER_STOPPED)
        if self._driving:
            await asyncio.wait(self._driving.values(), timeout=LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._writer.close()
        await close_engines()
        await self._broker.close()
        await in_thread(workers.forget_worker, worker=self.name)

    async def _hand_back(self, message_id: uuid.UUID, driver: Driver) -> None:
        driver.interrupt(None)
        await asyncio.wait([self._driving[message_id]])
        if driver.started:
            # The first words came in the last moment.
            await driver.end(WORKER_STOPPED)
        elif await in_thread(claiming.hand_back, claim=driver.claim):
            logger.info("Run %s is handed back to the queue.", message_id)


_runner: Runner | None = None


def current_runner() -> Runner:
    """The runner of this worker process."""
    if _runner is None:
        raise RuntimeError("Answers are driven by `manage.py procrastinate worker`, which starts the runner.")
    return _runner


def use_runner(runner: Runner | None) -> None:
    """Makes a runner the one of this process."""
    global _runner
    _runner = runner
