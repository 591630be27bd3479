"""20 events a second: how long from the publisher's call to the reader's socket, alone and in a crowd."""

from typing import ClassVar

from benchmarks.measuring import Figures, live
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System

READERS = 1000


class Latency(Scenario):
    name = "latency"
    title = "latency from publish to socket at 20 events/s"
    rows: ClassVar = [
        Row("alone_p50_ms", "1 reader: p50 ms", 2),
        Row("alone_p99_ms", "1 reader: p99 ms", 2),
        Row("crowd_p50_ms", f"{READERS:,} readers: p50 ms", 2),
        Row("crowd_p99_ms", f"{READERS:,} readers: p99 ms", 2),
        Row("crowd_cpu_per_million", f"{READERS:,} readers: server CPU s per million deliveries", 2),
        Row("missing", "events missing", pick=max),
        Row("foreign_share", "others, % of the server's core"),
    ]

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        words = ["--rate", "20", "--seconds", "2" if quick else "8"]
        alone = live(system, stores, readers=1, words=words)
        crowd = live(system, stores, readers=READERS, words=words)
        figures = {f"alone_{key}": value for key, value in alone.items()} | {
            f"crowd_{key}": value for key, value in crowd.items()
        }
        both = {"missing": alone["missing"] + crowd["missing"], "foreign_share": crowd["foreign_share"]}
        return figures | both


scenario = Latency()
