"""What measurements share: a publisher in a process of its own, and readers that follow while it publishes."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.processes import ROOT, BenchmarkError, python
from benchmarks.readers import Readers
from benchmarks.stores import Stores
from benchmarks.systems import System

Figures = dict[str, float]
"""What one measurement found, by name."""


def publish(
    system: System, stores: Stores, *words: str, acks: int = -1, replay: bool = False, module: str = ""
) -> dict[str, Any]:
    """Runs the publisher (`module`, or the system's own) to its end; returns what it says: see benchmarks/publisher.py."""
    command = python("-m", "benchmarks.publisher", module or system.publisher, *words)
    if acks >= 0:
        command += ["--acks", str(acks)]
    environment = {**os.environ, **system.environment(stores, replay=replay)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, pass_fds=[acks] if acks >= 0 else [], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"The publisher of {system.title} failed:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


class Publishing:
    """A publisher that follows a schedule while something else happens. Enter: it has begun, at `began` (monotonic, s)."""

    def __init__(
        self, system: System, stores: Stores, moments: Sequence[float], *, module: str, replay: bool = False, **more: str
    ) -> None:
        """`more`: environment variables of the publisher."""
        self.began = 0.0
        self._title = system.title
        self._moments = moments
        self._command = python("-m", "benchmarks.publisher", module, "--moments")
        self._environment = {**os.environ, **system.environment(stores, replay=replay), **more}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(self._moments)))
        self._process.stdin.close()
        self.began = self._next_line()["began_ns"] / 1e9
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Returns when all is published; raises BenchmarkError when that failed."""
        self._next_line()

    def _next_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"The publisher of {self._title} failed: it said above why.")
        told: dict[str, Any] = json.loads(line)
        return told


def live(
    system: System,
    stores: Stores,
    *,
    readers: int,
    words: list[str],
    windowed: bool = False,
    module: str = "",
    asking: Mapping[str, Any] | None = None,
    each_of: int = 1,
) -> Figures:
    """Readers follow live while the publisher runs; the figures of both sides.

    `asking`: what readers ask for, as `Readers` takes it; by default the system's path. A reader receives one of `each_of`
    events, which are numbered for it.
    """
    asked = asking or {"path": system.path}
    with (
        system.serve(stores) as server,
        Readers(server.port, readers, headers=system.headers(), websocket=system.websocket, **asked) as crowd,
    ):
        opened = crowd.opened
        settle()
        before, valkey_before = server.process.cpu_seconds(), stores.valkey.cpu_seconds()
        report = publish(system, stores, *words, acks=crowd.acks if windowed else -1, module=module)
        crowd.last(report["sent"] // each_of)
        result = crowd.result()
        server_cpu = server.process.cpu_seconds() - before
        load_cpu = result["cpu_s"] + report["cpu_s"] + stores.valkey.cpu_seconds() - valkey_before
    # A server that cannot keep up is still sending when the publisher is done.
    wall = max(report["wall_s"], (result["last_ns"] - report["began_ns"]) / 1e9)
    return {
        "server_share": 100 * server_cpu / wall,
        "foreign_share": 100 * max(0.0, report["server_core_s"] - server_cpu * report["wall_s"] / wall) / report["wall_s"],
        "generator_share": 100 * result["cpu_s"] / wall,
        "load_share": 100 * load_cpu / wall,
        "load_core_share": 100 * report["load_core_s"] / report["wall_s"],
        **{name: result[name] for name in ("deliveries", "missing", "doubled", "reversed", "dropped", "wall_s")},
        "per_second": result["deliveries"] / max(result["wall_s"], 1e-9),
        "cpu_per_million": server_cpu / max(result["deliveries"], 1) * 1e6,
        "p50_ms": result["p50_us"] / 1000,
        "p99_ms": result["p99_us"] / 1000,
        "max_ms": result["max_us"] / 1000,
        "opened_per_second": opened["opened"] / max(opened["open_s"], 1e-9),
        "stalled": report["stalled"],
    }


def settle() -> None:
    """Gives servers that subscribe after they have answered the time to do so."""
    time.sleep(0.5)
