"""200 readers come at once and read 500 events that are already there."""

from typing import ClassVar

from benchmarks.measuring import Figures, publish
from benchmarks.readers import Readers
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System

READERS = 200
EVENTS = 500


class CatchUp(Scenario):
    name = "catch-up"
    title = f"{READERS} readers catch up {EVENTS} events each"
    rows: ClassVar = [
        Row("seconds", "seconds until all have", 2),
        Row("frames", "frames per reader"),
        Row("missing", "events missing", pick=max),
        Row("cpu_per_million", "server CPU s per million deliveries", 2),
    ]

    def fits(self, system: System) -> bool:
        return system.catch_up_header is not None

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:  # noqa: ARG002 - one burst is short anyway
        with system.serve(stores, replay=True) as server:
            system.forget(stores)
            publish(system, stores, "--count", str(EVENTS), replay=True)
            before = server.process.cpu_seconds()
            headers = [*system.headers(), str(system.catch_up_header)]
            with Readers(server.port, READERS, path=system.path, headers=headers, until=EVENTS, seconds=60) as crowd:
                result = crowd.result()
            server_cpu = server.process.cpu_seconds() - before
        return {
            "seconds": (result["last_ns"] - result["started_ns"]) / 1e9,
            "frames": result["frames"] / READERS,
            "missing": result["missing"],
            "cpu_per_million": server_cpu / max(result["deliveries"], 1) * 1e6,
        }


scenario = CatchUp()
