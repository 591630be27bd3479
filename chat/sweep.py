"""Ending the runs of dead workers, and of stopped ones that no worker ever claimed.

A worker gives signs of life in Postgres and in the broker. It is dead only when both have been
silent: a database or a broker that was away for a while must not end a living run. A sweeper
trusts what it sees only after it has reached both stores itself for a while. The last words of
the dead are in the broker alone: their runs wait for it, though not for ever.
"""

import asyncio
import logging
import time
import uuid

from accounts.threads import in_thread
from chat.conf import conf
from chat.metrics import RUNS
from chat.services import endings, runs, sweeping
from chat.services.endings import CANCELLED, WORKER_DIED, Ending
from chat.services.leases import TakenOver
from chat.services.questions import message_stream
from chat.services.sweeping import Suspect
from events import journal
from events.broker.base import Appended, BaseBroker, DurableAppend
from events.event import START, Event
from events.exceptions import BrokerUnavailable, LeaseLost, ThroughlineError
from events.metrics import APPENDED
from events.writer import drain

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0


def beat_seconds() -> float:
    """Pause between a worker's signs of life."""
    return conf.RUN_LEASE_SECONDS / 5


def silence_seconds() -> float:
    """A worker silent for so long is dead; the rest of the lease is for ending its runs."""
    return conf.RUN_LEASE_SECONDS * 2 / 3


class Sweep:
    """Looks for dead workers' runs about every second. Any number of processes may do so at once."""

    def __init__(self, *, broker: BaseBroker) -> None:
        self._broker = broker
        self._steady_since: float | None = None
        self._answered_at: float | None = None
        self._waiting: dict[uuid.UUID, float] = {}
        """Runs that could not be ended yet, and the monotonic time since when that was tried."""

    async def run_forever(self) -> None:
        """Sweeps until cancelled; a failed sweep is logged and tried again."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except (ThroughlineError, *journal.UNREACHABLE) as error:
                self._steady_since = None
                logger.warning("The sweep of runs could not reach its stores: %s", error)
            except Exception:
                self._steady_since = None
                logger.exception("The sweep of runs failed.")

    async def sweep(self) -> None:
        """One look at all running runs."""
        await in_thread(sweeping.requeue_forgotten)
        for status, count in (await in_thread(runs.counts)).items():
            RUNS.labels(status).set(count)
        suspects = await in_thread(sweeping.suspects, silent_for=silence_seconds())
        remaining = {suspect.message_id for suspect in suspects}
        self._waiting = {message_id: since for message_id, since in self._waiting.items() if message_id in remaining}
        for suspect in await self._dead(suspects):
            taken = await in_thread(sweeping.take_over, suspect=suspect)
            if taken is not None:
                await self._end(suspect, taken)
                if self._steady_since is not None:
                    self._note_answers()

    async def _end(self, suspect: Suspect, taken: TakenOver) -> None:
        if await in_thread(sweeping.resume, taken=taken):
            logger.warning("Run %s of the dead worker %s goes on elsewhere.", suspect.message_id, suspect.worker)
            return
        logger.warning("Ending run %s of the dead worker %s.", suspect.message_id, suspect.worker)
        ending = CANCELLED if taken.stop_requested else WORKER_DIED
        try:
            await end_run(self._broker, taken, ending, needs_broker=self._waits(suspect))
        except BrokerUnavailable as error:
            # It answers, and yet cannot be written to, or it went away just now.
            self._steady_since = None
            logger.warning("Run %s waits for the broker, which may hold its last words: %s", suspect.message_id, error)

    async def _dead(self, suspects: list[Suspect]) -> list[Suspect]:
        """Those whose workers are silent in the broker too, or whose broker has been away for too long to wait."""
        try:
            alive = await self._broker.alive([lease_name(suspect.worker) for suspect in suspects])
            await self._broker.ping()
        except BrokerUnavailable:
            self._steady_since = None
            return [suspect for suspect in suspects if not self._waits(suspect)]
        if self._note_answers() < 2 * beat_seconds():
            return []
        return [suspect for suspect, living in zip(suspects, alive, strict=True) if not living]

    def _waits(self, suspect: Suspect) -> bool:
        """Whether a run whose broker cannot be reached, or not written to, is not given up yet."""
        now = time.monotonic()
        return now - self._waiting.setdefault(suspect.message_id, now) < conf.RUN_DRAIN_GRACE_SECONDS

    def _note_answers(self) -> float:
        """Notes that both stores answer now; for how many seconds they have done so without a pause.

        A pause is not always an error here: a query waits for its connection until a database is back, and
        this process may have been frozen itself. Workers could give no sign of life meanwhile.
        """
        now = time.monotonic()
        if self._answered_at is not None and now - self._answered_at > SWEEP_SECONDS + beat_seconds():
            self._steady_since = None
        self._answered_at = now
        if self._steady_since is None:
            self._steady_since = now
        return now - self._steady_since


def lease_name(worker: str) -> str:
    """What a worker's sign of life is called in the broker."""
    return f"worker:{worker}"


async def end_run(broker: BaseBroker, taken: TakenOver, ending: Ending, *, needs_broker: bool = False) -> None:
    """Ends a run under a lease of our own, with all the text that broker and journal hold together.

    Without the broker with what the journal has; when it `needs_broker`, it raises `BrokerUnavailable`, and nothing has ended.
    """
    stream = message_stream(taken.message_id)
    try:
        events = await _whole(broker, taken, needs_broker)
        added = await in_thread(
            endings.end,
            message_id=taken.message_id,
            conversation_id=taken.conversation_id,
            lease=taken.lease,
            events=events,
            ending=ending,
        )
    except LeaseLost:
        logger.info("Run %s was ended by someone else.", taken.message_id)
        return
    append = DurableAppend(stream, taken.lease, added, ended=True)
    try:
        if (await broker.append_durable([append]))[0] is Appended.OK:
            APPENDED.labels(stream.kind).inc(len(added))
        else:
            logger.warning("The broker does not hold run %s; readers find its end in the journal.", taken.message_id)
    except BrokerUnavailable:
        logger.warning("The broker did not hear of the end of run %s; readers find it in the journal.", taken.message_id)


async def _whole(broker: BaseBroker, taken: TakenOver, needs_broker: bool) -> list[Event]:
    stream = message_stream(taken.message_id)
    try:
        return await drain(broker, stream=stream, lease=taken.lease)
    except BrokerUnavailable:
        if needs_broker:
            raise
        logger.warning("Ending run %s without the broker: text of its last moments may be lost.", taken.message_id)
        return await in_thread(journal.read, stream, START)
