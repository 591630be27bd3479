"""Processes of a benchmark: started on their cores, measured, and ended whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".data" / "bench"


class BenchmarkError(Exception):
    """A benchmark cannot go on; the message says why and what to do."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One program with its children, on given cores; its output goes to a log that errors quote."""

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], cores: Sequence[int]) -> None:
        DATA.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = DATA / f"{name}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, set(cores)),
            )
        self.process = psutil.Process(self.popen.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends the program and its children: asks first, and kills what is left after `seconds`."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kills the program and its children, and waits until they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def wait_for_port(self, port: int, seconds: float = 120.0) -> None:
        """Returns when something listens on `port`; raises BenchmarkError when the program ends or the time does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                raise BenchmarkError(f"{self.name} ended with {self.popen.returncode}. Its last words:\n{self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        raise BenchmarkError(f"{self.name} does not listen on port {port}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what the program printed."""
        return self.log.read_text(errors="replace")[-3000:]

    def cpu_seconds(self) -> float:
        """CPU time of the program and its living children so far, in seconds."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))

    def memory_bytes(self) -> int:
        """Resident memory of the program and its children, in bytes."""
        return int(self._sum(lambda process: process.memory_info().rss))

    def peak_memory_bytes(self) -> int:
        """The most resident memory each of them has had, added up, in bytes (VmHWM)."""
        return int(self._sum(lambda process: _status(process.pid, "VmHWM") * 1024))

    def threads(self) -> int:
        """Threads of the program and its children."""
        return int(self._sum(lambda process: process.num_threads()))

    def move(self, cores: Sequence[int]) -> None:
        """Lets the program and its children run on these cores."""
        move(self.process, cores)

    def _sum(self, figure: Callable[[psutil.Process], float]) -> float:
        """A figure added up over the program and its children.

        Raises BenchmarkError when the program has ended: its figures would be wrong.
        """
        if self.popen.poll() is not None:
            raise BenchmarkError(f"{self.name} ended with {self.popen.returncode}. Its last words:\n{self.last_words()}")
        total = figure(self.process)
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):  # children may end at any time
                total += figure(child)
        return total


def move(process: psutil.Process, cores: Sequence[int]) -> None:
    """Lets a process, its threads and its children run on these cores."""
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a process or a thread may end at any time
            for thread in each.threads():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, set(cores))


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0


def python(*words: str) -> list[str]:
    """The command that runs Python with these words, the interpreter being ours."""
    return [sys.executable, *words]
