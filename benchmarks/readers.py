"""The load generator seen from Python: `reader/`, compiled when it changed, started, told when to end."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.machine import LOAD_CORE
from benchmarks.processes import DATA, BenchmarkError

SOURCES = Path(__file__).with_name("reader")


def compiled() -> Path:
    """The generator's program; compiled now when a source is newer. Raises BenchmarkError without a C compiler."""
    program = DATA / "reader"
    newest = max(source.stat().st_mtime for source in SOURCES.iterdir())
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchmarkError("The load generator is written in C: install a compiler (Debian: apt-get install gcc libc6-dev).")
    DATA.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, *sorted(SOURCES.glob("*.c"))], check=True)
    return program


@dataclass
class Readers:
    """Many readers of one server. Enter: all are open. `result()`: all have read what there was, or gave up.

    `until`: how many events each reads before it is done; without it they read until `last()` says which is
    the last one. `tokens_per_second` makes an event one word of an answer.
    """

    port: int | Sequence[int]
    """Where the server listens; of several the first reader begins at the first, the second at the second, and so on."""
    count: int
    path: str = "/"
    headers: Sequence[str] = ()
    body: str | None = None
    websocket: bool = False
    tokens_per_second: float = 0
    until: int = 0
    seconds: float = 120
    ids: Path | None = None
    """Where to write the message id of each answer."""
    paths: Path | None = None
    """A file with a path a line, one for each reader, instead of `path`."""
    frames: Path | None = None
    """A file with a frame a line, one for each reader, which it sends first; it is open when `subscribed` has come."""
    again: bool = False
    """Whether readers that are cut off come back, at the next port, with their cursor."""
    reopened: list[dict[str, Any]] = field(default_factory=list)
    """With `again`: each time that all were back, how many had been cut off (`readers`) and how long it took (`seconds`)."""
    cores: Sequence[int] = (LOAD_CORE,)
    opened: dict[str, Any] = field(default_factory=dict)
    acks: int = -1
    """Where the number of the last event that every reader has passed can be read, 32 bits a time."""

    def __enter__(self) -> Self:
        self.acks, ours = os.pipe()
        self.process = subprocess.Popen(
            [compiled(), *self._words(), "--acks", str(ours)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[ours],
            preexec_fn=lambda: os.sched_setaffinity(0, set(self.cores)),
        )
        os.close(ours)
        self.opened = self._next_report()
        if self.opened["event"] == "opened" and self.opened["refused"]:
            self.__exit__(None, None, None)
            raise BenchmarkError(f"{self.opened['refused']} of {self.count} readers of {self.path} were refused.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.acks)

    def last(self, number: int) -> None:
        """Tells the readers that no event after this one will come."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"last {number}\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What the readers saw; waits for them."""
        while self.opened["event"] != "result":
            self.opened = self._next_report()
            if self.opened["event"] == "reopened":
                self.reopened.append(self.opened)
        return self.opened

    def _next_report(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchmarkError("The load generator ended without a result.")
        report: dict[str, Any] = json.loads(line)
        return report

    def _words(self) -> list[str]:
        ports = [self.port] if isinstance(self.port, int) else self.port
        words = [
            "--port",
            ",".join(map(str, ports)),
            "--readers",
            str(self.count),
            "--path",
            self.path,
            "--seconds",
            str(self.seconds),
        ]
        for header in self.headers:
            words += ["--header", header]
        if self.body is not None:
            words += ["--body", self.body]
        if self.websocket:
            words += ["--websocket"]
        if self.tokens_per_second:
            words += ["--tokens", str(self.tokens_per_second)]
        if self.until:
            words += ["--until", str(self.until)]
        if self.ids:
            words += ["--ids", str(self.ids)]
        if self.paths:
            words += ["--paths", str(self.paths)]
        if self.frames:
            words += ["--frames", str(self.frames)]
        if self.again:
            words += ["--again", "--opening", "1024"]
        return words
