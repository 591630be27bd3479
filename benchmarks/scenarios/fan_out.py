"""One stream, a thousand readers, always 20 events in flight: how many deliveries a second, at what cost."""

from typing import ClassVar

from benchmarks.measuring import Figures, live
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System

READERS = 1000


class FanOut(Scenario):
    name = "fan-out"
    title = f"fan-out to {READERS:,} readers, 20 events in flight"
    rows: ClassVar = [
        Row("per_second", "deliveries/s"),
        Row("cpu_per_million", "server CPU s per million deliveries", 2),
        Row("missing", "events missing", pick=max),
        Row("doubled", "events doubled", pick=max),
        Row("stalled", "times the publisher waited 1 s in vain", pick=max),
        Row("server_share", "server, % of its core"),
        Row("foreign_share", "others, % of the server's core"),
        Row("generator_share", "generator, % of its core"),
        Row("load_core_share", "generator + publisher + Valkey, % of their core"),
        Row("opened_per_second", "streams opened/s"),
    ]

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        words = ["--window", "20", "--seconds", "2" if quick else "5"]
        return live(system, stores, readers=READERS, words=words, windowed=True)


scenario = FanOut()
