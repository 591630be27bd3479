"""300 answers at once at 50 tokens/s, from the worker through broker, journal and server to their readers.

Everything shares the two cores. Then Valkey is emptied and all answers are read again: what comes then was in the journal.
"""

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.machine import ALL_CORES, core_busy_seconds
from benchmarks.measuring import Figures
from benchmarks.processes import DATA, Process
from benchmarks.readers import Readers
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import Server, System
from benchmarks.throughline import Throughline

ANSWERS = 300
PER_SECOND = 50
CORES = tuple(ALL_CORES)


class Answers(Scenario):
    name = "answers"
    title = f"{ANSWERS} answers at {PER_SECOND} tokens/s, journal on, whole system on {len(CORES)} cores"
    rows: ClassVar = [
        Row("steady_per_second", "tokens delivered/s while all were under way"),
        Row("steady_s", "seconds that all were under way", 1),
        Row("per_second", "tokens delivered/s, over all"),
        Row("accepted_s", "seconds until all questions were accepted", 2),
        Row("begun_s", "seconds until all had their first token", 2),
        Row("p50_ms", "token latency: p50 ms", 1),
        Row("p99_ms", "token latency: p99 ms", 1),
        Row("missing", "tokens missing", pick=max),
        Row("doubled", "tokens doubled", pick=max),
        Row("frames", "frames per answer"),
        Row("worker_share", "worker, % of a core"),
        Row("server_share", "server, % of a core"),
        Row("valkey_share", "Valkey, % of a core"),
        Row("generator_share", "generator, % of a core"),
        Row("busy_share", "everything, % of both cores"),
        Row("worker_peak_mib", "worker's peak memory, MiB"),
        Row("journal_seconds", "all read again from the journal alone: seconds", 2),
        Row("journal_frames", "read again: frames per answer", 1),
        Row("journal_missing", "read again: tokens missing", pick=max),
    ]

    def fits(self, system: System) -> bool:
        return isinstance(system, Throughline) and super().fits(system)

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        assert isinstance(system, Throughline)
        tokens = 500 if quick else 1500
        with (
            stores.on_all_cores(),
            system.serve(stores, cores=CORES) as server,
            system.work(stores, cores=CORES) as worker,
        ):
            ids = DATA / "answers.txt"
            live = answer(system, stores, server, worker, tokens=tokens, ids=ids)
            stores.forget()
            again = read_again(system, server, tokens=tokens, ids=ids)
        return live | again


def answer(system: Throughline, stores: Stores, server: Server, worker: Process, *, tokens: int, ids: Path) -> Figures:
    """Asks all questions and reads all answers as they come."""
    script = [{"tokens": tokens, "per_second": PER_SECOND}]
    body = json.dumps({"question": f"!script {json.dumps(script)}"})
    before = spent_so_far(stores, server, worker)
    with Readers(
        server.port,
        ANSWERS,
        path="/stream",
        headers=system.headers(),
        body=body,
        tokens_per_second=PER_SECOND,
        until=tokens,
        seconds=tokens / PER_SECOND + 60,
        ids=ids,
        cores=CORES,
    ) as crowd:
        result = crowd.result()
    now = spent_so_far(stores, server, worker)
    wall = (result["last_ns"] - result["started_ns"]) / 1e9
    spent = [100 * (after - then) / wall for after, then in zip(now, before, strict=True)]
    # All answers must have run side by side for a while, or there is no rate to speak of.
    steady = {name: result[name] for name in ("steady_per_second", "steady_s")} if result["steady_s"] > 1 else {}
    return {
        **steady,
        "accepted_s": result["open_s"],
        "begun_s": result["begun_s"],
        "per_second": result["deliveries"] / max(result["wall_s"], 1e-9),
        "p50_ms": result["p50_us"] / 1000,
        "p99_ms": result["p99_us"] / 1000,
        "frames": result["frames"] / ANSWERS,
        "worker_share": spent[0],
        "server_share": spent[1],
        "generator_share": 100 * result["cpu_s"] / wall,
        "valkey_share": spent[2],
        "busy_share": sum(spent[3:]) / len(CORES),
        "worker_peak_mib": worker.peak_memory_bytes() / 1024**2,
        **counts(result),
    }


def spent_so_far(stores: Stores, server: Server, worker: Process) -> list[float]:
    """CPU time of the worker, the server, Valkey and each core, in seconds."""
    return [each.cpu_seconds() for each in (worker, server.process, stores.valkey)] + [core_busy_seconds(core) for core in CORES]


def read_again(system: Throughline, server: Server, *, tokens: int, ids: Path) -> Figures:
    """Reads all answers from the beginning."""
    paths = ids.with_suffix(".paths")
    paths.write_text("".join(f"/api/messages/{line}/events{os.linesep}" for line in ids.read_text().split()))
    with Readers(
        server.port, ANSWERS, paths=paths, headers=system.headers(), tokens_per_second=PER_SECOND, until=tokens, seconds=60
    ) as crowd:
        result = crowd.result()
    return {
        "journal_seconds": (result["last_ns"] - result["started_ns"]) / 1e9,
        "journal_frames": result["frames"] / ANSWERS,
        "journal_missing": result["missing"],
    }


def counts(result: dict[str, Any]) -> Figures:
    """What must be zero."""
    return {name: result[name] for name in ("missing", "doubled", "reversed", "refused")}


scenario = Answers()
