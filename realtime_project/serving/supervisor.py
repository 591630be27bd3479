"""Watches the children: restarts the dead, hears the signals, stops them in order."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

from realtime_project.serving.errors import ServingError
from realtime_project.serving.process import Child

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # a child that lived so long starts again without a pause to grow from
DEATHS_WHILE_STARTING = 3
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Watched:
    """A child, since when it runs, and when it is to be started again."""

    child: Child
    started_at: float
    deaths: int = 0
    due_at: float | None = None


class Supervisor:
    """Keeps children running until a stop is asked for; a context manager that owns the process's signals.

    `stop_requests` counts SIGTERM, SIGINT and SIGHUP: the first asks for an orderly stop, a second for an immediate one.
    `died` is called with the process id of each child that ended by itself.
    """

    def __init__(self, say: Callable[[str], None], *, died: Callable[[int], None] = lambda _pid: None) -> None:
        self.say = say
        self.died = died
        self.watched: list[Watched] = []
        self.stop_requests = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._awake, self._alarm = os.pipe()
        os.set_blocking(self._alarm, False)
        os.set_blocking(self._awake, False)
        self._previous_alarm = signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._asked_to_stop)
        # With a Python function as its handler, the death of a child also wakes `wait`.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_alarm)
        os.close(self._awake)
        os.close(self._alarm)

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def watch(self, child: Child) -> None:
        """Keeps a child that already runs."""
        self.watched.append(Watched(child, time.monotonic()))

    def start(self, child: Child) -> None:
        """Starts a child and keeps it running."""
        child.start()
        self.watch(child)

    def wait(self, seconds: float) -> None:
        """Sleeps for so long, or until a signal comes or a child ends."""
        readable, _, _ = select.select([self._awake], [], [], max(0.0, seconds))
        if readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._awake, 4096)

    def tend(self, *, starting: bool = False) -> None:
        """Starts again what has died, after a pause that doubles with each death.

        Raises:
            ServingError: while `starting`, a child has died DEATHS_WHILE_STARTING times.
        """
        now = time.monotonic()
        for watched in self.watched:
            if watched.due_at is None and watched.child.exit_code is not None:
                self._note_death(watched, now, starting=starting)
            if watched.due_at is not None and now >= watched.due_at:
                watched.due_at, watched.started_at = None, now
                watched.child.start()

    def _note_death(self, watched: Watched, now: float, *, starting: bool) -> None:
        if now - watched.started_at > HEALTHY_SECONDS:
            watched.deaths = 0
        watched.deaths += 1
        if watched.child.process is not None:
            self.died(watched.child.process.pid)
        ended = _ended(watched.child.exit_code)
        if starting and watched.deaths >= DEATHS_WHILE_STARTING:
            raise ServingError(f"The {watched.child.name} process does not stay up ({ended}): the lines above say why.")
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (watched.deaths - 1))
        watched.due_at = now + pause
        self.say(f"The {watched.child.name} process {ended}; it starts again in {pause:g} s.")

    def run(self) -> None:
        """Tends the children until a stop is asked for."""
        while not self.stop_requests:
            self.tend()
            due = [watched.due_at for watched in self.watched if watched.due_at is not None]
            self.wait(min([1.0, *(moment - time.monotonic() for moment in due)]))

    def stop(self, children: Iterable[Child]) -> None:
        """Ends these children, all at once and each within its own time; after a second signal, immediately."""
        stopping = list(children)
        self.watched = [watched for watched in self.watched if watched.child not in stopping]
        enough = self.stop_requests + 1
        for child in stopping:
            child.ask_to_stop()
        started = time.monotonic()
        while alive := [child for child in stopping if child.pid is not None]:
            for child in alive:
                waited = time.monotonic() - started
                if self.stop_requests >= max(2, enough):
                    child.kill()
                elif waited > child.stop_seconds:
                    self.say(f"The {child.name} process did not stop within {child.stop_seconds:g} s and was ended.")
                    child.kill()
            self.wait(0.2)


def _ended(code: int | None) -> str:
    if code is None:
        return "runs"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
