"""A day in ten minutes: 5,000 user feeds, 300 running answers, 40 workspaces with members; twice a web process dies.

Two web processes, a worker, Valkey and Postgres share the two cores with the clients. Clients know both addresses and begin
on either. After a third of the day the first web process is killed, and started again; after two thirds the second, on which
everybody is by then: the reconnect storm of all clients. Who is cut off comes back at the other address with his cursor.
"""

import contextlib
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.machine import ALL_CORES
from benchmarks.measuring import Figures, Publishing
from benchmarks.processes import DATA, BenchmarkError, Process, python
from benchmarks.readers import Readers
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System, run
from benchmarks.throughline import Throughline
from benchmarks.webs import Web

CORES = tuple(ALL_CORES)
SPARE_FILES = 300
"""Files that a web process has open beside its connections."""
FIRST_DEATH, REVIVAL, SECOND_DEATH = 1 / 3, 1 / 2, 2 / 3
"""When, as a part of the day."""


@dataclass(frozen=True)
class Size:
    """How large a day is. Everybody hears something once in `every` seconds."""

    feeds: int = 5000
    answers: int = 300
    workspaces: int = 40
    members: int = 5
    seconds: int = 600
    every: int = 10
    tokens_per_second: int = 10

    @property
    def clients(self) -> int:
        """Connections at the same time."""
        return self.feeds + self.answers + self.workspaces * self.members

    @property
    def turns(self) -> int:
        """Events of each feed and each workspace."""
        return self.seconds // self.every

    @property
    def tokens(self) -> int:
        """Tokens of each answer."""
        return self.seconds * self.tokens_per_second


SMALL = Size(feeds=300, answers=30, workspaces=8, members=3, seconds=30, every=2)


class Day(Scenario):
    name = "day"
    title = "a day in ten minutes: 5,000 feeds, 300 answers, 40 workspaces; each web process dies once; whole system on 2 cores"
    repetitions: ClassVar[int] = 1
    rows: ClassVar = [
        Row("clients", "clients"),
        Row("deliveries", "events and tokens delivered"),
        Row("missing", "missing", pick=max),
        Row("doubled", "doubled", pick=max),
        Row("reversed", "out of order", pick=max),
        Row("first_cut", "first death: clients cut off"),
        Row("first_back_s", "first death: seconds until all are back", 1),
        Row("second_cut", "second death: clients cut off"),
        Row("second_back_s", "second death: seconds until all are back", 1),
        Row("late_s", "the longest an event was under way, through both deaths: s", 1),
        Row("p50_ms", "feeds: p50 ms", 1),
        Row("p99_ms", "feeds, both deaths included: p99 ms", 1),
        Row("web_half_share", "a web process with half of the clients, % of a core"),
        Row("web_all_share", "a web process with all clients, % of a core"),
        Row("worker_share", "worker, % of a core"),
        Row("valkey_share", "Valkey, % of a core"),
        Row("generator_share", "clients, % of a core"),
        Row("web_peak_mib", "a web process's peak memory, MiB"),
        Row("worker_peak_mib", "worker's peak memory, MiB"),
        Row("valkey_peak_mib", "Valkey's peak memory, MiB"),
    ]

    def fits(self, system: System) -> bool:
        return isinstance(system, Throughline) and super().fits(system)

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        assert isinstance(system, Throughline)
        return lived(system, stores, SMALL if quick else Size())


def check_files(clients: int) -> None:
    """Raises BenchmarkError when one process may not have as many open files as there are clients."""
    most, needed = resource.getrlimit(resource.RLIMIT_NOFILE)[1], clients + SPARE_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        raise BenchmarkError(
            f"{clients:,} clients of one process need {needed:,} open files, and this account may have {most:,}: "
            f"raise the limit (ulimit -Hn {needed}, or `nofile` in limits.conf, as root) and run it again."
        )


def lived(system: Throughline, stores: Stores, size: Size) -> Figures:
    """One day of this size."""
    check_files(size.clients)
    folder = DATA / "day"
    folder.mkdir(parents=True, exist_ok=True)
    counts = [str(count) for count in (size.feeds, size.workspaces, size.members)]
    made = python("-m", "benchmarks.peers.throughline.day_accounts", str(folder), *counts)
    run(made, "Nobody could be made", system.environment(stores))
    stores.forget()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stores.on_all_cores())
        webs = [stack.enter_context(Web(system, stores, CORES, f"web-{number}")) for number in (1, 2)]
        worker = stack.enter_context(system.work(stores, cores=CORES))
        crowds = [stack.enter_context(crowd) for crowd in clients(system, [web.port for web in webs], size)]
        moments = [n * size.every / (size.feeds + size.workspaces) for n in range(size.turns * (size.feeds + size.workspaces))]
        module, streams = "benchmarks.peers.throughline.publish_day", str(folder / "streams")
        publishing = Publishing(system, stores, moments, module=module, replay=True, BENCH_STREAMS=streams)
        return _through_the_day(stores, webs, worker, crowds, stack.enter_context(publishing), size)


def clients(system: Throughline, ports: Sequence[int], size: Size) -> list[Readers]:
    """Those who follow feeds, those who sit in workspaces, and those who have asked something."""
    folder, patience = DATA / "day", size.seconds * 2 + 300
    script = [{"tokens": size.tokens, "per_second": size.tokens_per_second}]
    body = json.dumps({"question": f"!script {json.dumps(script)}"})
    feeds = Readers(ports, size.feeds, paths=folder / "feeds", again=True, seconds=patience, cores=CORES)
    sockets = Readers(
        ports, size.workspaces * size.members, paths=folder / "sockets", websocket=True, again=True, seconds=patience, cores=CORES
    )
    answers = Readers(
        ports,
        size.answers,
        path="/stream",
        headers=system.headers(),
        body=body,
        tokens_per_second=size.tokens_per_second,
        until=size.tokens,
        again=True,
        seconds=patience,
        cores=CORES,
    )
    return [feeds, sockets, answers]


def _through_the_day(
    stores: Stores, webs: list[Web], worker: Process, crowds: list[Readers], publishing: Publishing, size: Size
) -> Figures:
    """Kills what is to be killed in time, and adds everything up."""
    first, second = webs
    figures, noon = {"clients": float(size.clients)}, publishing.began
    spent = _Spent({"worker": worker.cpu_seconds, "valkey": stores.valkey.cpu_seconds})
    half = _Spent({"web_half": first.process.cpu_seconds})
    deaths = [noon + size.seconds * part for part in (FIRST_DEATH, SECOND_DEATH)]
    _sleep_until(deaths[0])
    figures |= half.shares()
    deaths[0] = time.monotonic()
    first.kill()
    _sleep_until(noon + size.seconds * REVIVAL)
    first.start()
    _sleep_until(deaths[1])
    deaths[1] = time.monotonic()
    second.kill()
    # Until the storm is over; what follows is an ordinary afternoon.
    _sleep_until(deaths[1] + size.seconds / 12)
    whole = _Spent({"web_all": first.process.cpu_seconds})
    second.start()
    publishing.finish()
    figures |= whole.shares() | spent.shares()
    for crowd in crowds[:2]:
        crowd.last(size.turns)
    results = [crowd.result() for crowd in crowds]
    for web in webs:
        web.note_memory()
    wall = time.monotonic() - noon
    return figures | {
        **{name: sum(result[name] for result in results) for name in ("deliveries", "missing", "doubled", "reversed")},
        **_came_back("first", crowds, deaths[0], deaths[1]),
        **_came_back("second", crowds, deaths[1], float("inf")),
        "late_s": max(result["max_us"] for result in results[:2]) / 1e6,
        "p50_ms": results[0]["p50_us"] / 1000,
        "p99_ms": results[0]["p99_us"] / 1000,
        "generator_share": 100 * sum(result["cpu_s"] for result in results) / wall,
        "web_peak_mib": max(web.peak_bytes for web in webs) / 1024**2,
        "worker_peak_mib": worker.peak_memory_bytes() / 1024**2,
        "valkey_peak_mib": stores.valkey.peak_memory_bytes() / 1024**2,
    }


class _Spent:
    """CPU time of some processes from now on."""

    def __init__(self, of: dict[str, Callable[[], float]]) -> None:
        self._of = of
        self._began = time.monotonic()
        self._before = {name: seconds() for name, seconds in of.items()}

    def shares(self) -> Figures:
        """`<name>_share`: percent of one core since then."""
        wall = time.monotonic() - self._began
        return {f"{name}_share": 100 * (seconds() - self._before[name]) / wall for name, seconds in self._of.items()}


def _came_back(which: str, crowds: list[Readers], death: float, until: float) -> Figures:
    """How many were cut off by a death, and how long it took until the last of them was back."""
    found = [each for crowd in crowds for each in crowd.reopened if death <= each["lost_ns"] / 1e9 < until]
    if not found:
        return {}
    last = max(each["lost_ns"] / 1e9 + each["seconds"] for each in found)
    return {f"{which}_cut": sum(each["readers"] for each in found), f"{which}_back_s": last - death}


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


scenario = Day()
