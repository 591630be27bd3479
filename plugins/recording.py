"""Events of one recorder on their way to the database: one batch at a time, under a key, so that none is written twice."""

import logging
import threading
import time
import uuid
from concurrent.futures import Future

from accounts.threads import submit
from events.exceptions import ThroughlineError, Unavailable, translated
from plugins import executions
from plugins.conf import conf
from plugins.execution_events import Type
from plugins.executions import Report

logger = logging.getLogger(__name__)

BATCH = 200
RETRY_SECONDS = 0.5
PERSISTENT_SECONDS = 60.0
"""How long a database that does not answer is asked again; a plugin may have ended long before."""


class Buffer:
    """What waits to be written. Filled from any thread, without waiting; emptied by the process's database threads."""

    def __init__(self, execution_id: uuid.UUID, holder: uuid.UUID | None) -> None:
        self.settled: Future[None] = Future()
        """Done when nothing waits. Another one takes its place when something does."""
        self.settled.set_result(None)
        self._execution_id = execution_id
        self._holder = holder
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._waiting: list[Report] = []
        self._dropped = 0
        self._batch: list[Report] = []
        self._number = 0
        self._failing_since: float | None = None

    def add(self, report: Report) -> None:
        """Keeps an event, and has it written soon. Drops it, except an end, when PLUGINS_RECORDER_BUFFER others wait."""
        with self._lock:
            if len(self._waiting) >= conf.PLUGINS_RECORDER_BUFFER and report[0] not in executions.TERMINAL:
                self._dropped += 1
                return
            self._waiting.append(report)
            if self.settled.done():
                self.settled = Future()
                submit(self._write)

    def _write(self) -> None:
        """Writes until nothing waits, or the database is away."""
        while batch := self._next():
            try:
                key = f"{self._name}:{self._number}"
                executions.append(execution_id=self._execution_id, reports=batch, key=key, holder=self._holder)
                self._written([])
            except Exception as error:
                if not self._went_wrong(batch, error):
                    return

    def _next(self) -> list[Report]:
        """The batch to write: the one that could not be written, else what waits. Settles when there is none."""
        with self._lock:
            if not self._batch:
                self._batch = self._waiting[:BATCH]
                del self._waiting[: len(self._batch)]
                if self._dropped and self._batch:
                    note = f"{self._dropped} events were dropped here: they came faster than they could be written."
                    logger.warning("Execution %s: %s", self._execution_id, note)
                    self._batch.insert(self._place_of_note(), (Type.LOG, {"message": note, "level": "warning"}))
                    self._dropped = 0
            if not self._batch:
                self.settled.set_result(None)
            return self._batch

    def _place_of_note(self) -> int:
        """Before the end, which must be the last."""
        return len(self._batch) - (self._batch[-1][0] in executions.TERMINAL)

    def _written(self, rest: list[Report]) -> None:
        self._batch, self._failing_since = rest, None
        # Even where a refused batch had this number: it may have been written by a process that did not hear so.
        self._number += 1

    def _went_wrong(self, batch: list[Report], error: Exception) -> bool:
        """Whether to go on at once."""
        known = translated(error)
        if isinstance(known, ThroughlineError) and not isinstance(known, Unavailable):
            logger.warning("Events of execution %s were not taken: %s", self._execution_id, known.message)
            # It has ended or is full. Where it is full its end is taken alone.
            self._written(batch[-1:] if len(batch) > 1 and batch[-1][0] in executions.TERMINAL else [])
            return True
        self._failing_since = self._failing_since or time.monotonic()
        if known is None or time.monotonic() - self._failing_since > PERSISTENT_SECONDS:
            logger.error("%d events of execution %s are lost.", len(batch), self._execution_id, exc_info=error)
            self._written([])
            return True
        logger.warning("Events of execution %s wait: %s", self._execution_id, known.message)
        # Not asleep in the thread: others need it.
        later = threading.Timer(RETRY_SECONDS, submit, [self._write])
        later.daemon = True
        later.start()
        return False
