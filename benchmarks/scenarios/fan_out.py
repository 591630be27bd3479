"""One stream, a thousand readers, always so many events in flight: how many deliveries a second, at what cost.

With 20 in flight django-eventstream loses most of them, because it queues at most 10 for a reader; with 8 it
shows what it can do.
"""

from typing import ClassVar

from benchmarks.measuring import Figures, live
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System

READERS = 1000


class FanOut(Scenario):
    rows: ClassVar = [
        Row("per_second", "deliveries/s"),
        Row("cpu_per_million", "server CPU s per million deliveries", 2),
        Row("missing", "events missing", pick=max),
        Row("doubled", "events doubled", pick=max),
        Row("stalled", "times the publisher gave up waiting for lost events", pick=max),
        Row("server_share", "server, % of its core"),
        Row("foreign_share", "others, % of the server's core"),
        Row("generator_share", "generator, % of its core"),
        Row("load_share", "generator + publisher + Valkey, % of their core"),
        Row("load_core_share", "that core, % busy, with all that others did"),
        Row("opened_per_second", "streams opened/s"),
    ]

    def __init__(self, name: str, in_flight: int) -> None:
        self.name = name
        self.title = f"fan-out to {READERS:,} readers, {in_flight} events in flight"
        self.in_flight = in_flight

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        words = ["--window", str(self.in_flight), "--seconds", "2" if quick else "5"]
        return live(system, stores, readers=READERS, words=words, windowed=True)


class SocketFanOut(FanOut):
    """The same among those that speak WebSocket."""

    def fits(self, system: System) -> bool:
        return system.websocket and super().fits(system)


scenario = FanOut("fan-out", 20)
smaller = FanOut("fan-out-8", 8)
sockets = SocketFanOut("socket-fan-out", 20)
