"""One child process: how it starts, how it is stopped, and that it never outlives its parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime_project.serving.account import Account

PR_SET_PDEATHSIG = 1
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_parent(number: int) -> Callable[[], None]:
    """What a new child runs before its program, so that the kernel sends it signal `number` when its parent dies.

    Without it, a supervisor ended by SIGKILL would leave its children behind. Only Linux has this (prctl(2),
    PR_SET_PDEATHSIG); elsewhere nothing happens, and the next start ends what is left of the stores.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os.kill(os.getpid(), number)

    return arrange


@dataclass
class Child:
    """A program to run: `stop_signal` asks it to end, within `stop_seconds`, before it is killed."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    descriptors: Sequence[int] = ()
    output: Path | None = None
    account: Account | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Starts the program in a session of its own: a Ctrl-C in the terminal reaches only the supervisor."""
        output = None if self.output is None else os.fdopen(os.open(self.output, LOG_FLAGS, 0o600), "ab")
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
                self.argv,
                env=self.environment,
                # An account of its own could not enter every folder the server may be started from.
                cwd="/" if self.account is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                pass_fds=self.descriptors,
                start_new_session=True,
                preexec_fn=dies_with_parent(self.stop_signal),
                **(self.account.popen_arguments() if self.account is not None else {}),
            )
        finally:
            if output is not None:
                output.close()

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """What it ended with (negative: the signal), or None while it runs or was never started."""
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> None:
        """Sends the stop signal; nothing when it does not run."""
        if self.process is not None and self.pid is not None:
            self.process.send_signal(self.stop_signal)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Ends it now, with whatever it started in its session."""
        if self.process is not None and self.pid is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Asks it to end, waits `stop_seconds`, then kills it."""
        self.ask_to_stop()
        if not self.wait(self.stop_seconds):
            self.kill()
