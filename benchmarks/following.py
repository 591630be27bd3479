"""A program of followers (see followers/), and the ledger of what they received."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from benchmarks.ledger import Ledger
from benchmarks.processes import DATA, ROOT, BenchmarkError


class Following:
    """Starts them; enter: all are open. Leave: they are ended."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self.ledger = Ledger(count)
        self._command = command
        self._count = count
        self._open: set[int] = set()
        self._changed = threading.Condition()
        self._heard = time.monotonic()
        self._ended = False

    def __enter__(self) -> Self:
        DATA.mkdir(parents=True, exist_ok=True)
        self._log = (DATA / "followers.log").open("w+")
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        try:
            if not self._wait(lambda: len(self._open) == self._count, seconds=120):
                raise BenchmarkError(f"Only {len(self._open)} of {self._count} followers are open: {self._words()}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._log.close()

    def wait_for(self, number: int, *, quiet_seconds: float) -> None:
        """Returns when all have this event, or when none has received anything for so long."""
        while not self._wait(lambda: self.ledger.have_all(number), seconds=0.5):
            if self._ended:
                raise BenchmarkError(f"The followers ended: {self._words()}")
            if time.monotonic() - self._heard > quiet_seconds:
                return

    def _wait(self, holds: Callable[[], bool], *, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: holds() or self._ended, seconds) and holds()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, who, *more = json.loads(line)
            with self._changed:
                if what == "open":
                    self._open.add(who)
                elif what == "event":
                    self._heard = time.monotonic()
                    self.ledger.event(who, *more)
                else:
                    self.ledger.gap(who)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:] or "they said nothing."
