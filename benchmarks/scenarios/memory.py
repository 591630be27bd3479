"""Readers that wait: memory and threads of the server, and how fast so many streams open."""

from typing import ClassVar

from benchmarks.measuring import Figures, settle
from benchmarks.readers import Readers
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import Server, System

WARM_UP = 20
QUICK_READERS = 1000


class Memory(Scenario):
    name = "memory"
    title = "idle readers"
    rows: ClassVar = [
        Row("readers", "readers"),
        Row("kib_per_reader", "KiB of server memory per reader", 1),
        Row("threads", "threads of the server"),
        Row("opened_per_second", "streams opened/s"),
    ]

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        readers = min(system.idle_readers, QUICK_READERS) if quick else system.idle_readers
        with system.serve(stores) as server:
            with crowd_of(WARM_UP, system, server):
                settle()
            before = server.process.memory_bytes()
            with crowd_of(readers, system, server) as crowd:
                settle()
                return {
                    "readers": readers,
                    "kib_per_reader": (server.process.memory_bytes() - before) / readers / 1024,
                    "threads": server.process.threads(),
                    "opened_per_second": readers / crowd.opened["open_s"],
                }


def crowd_of(count: int, system: System, server: Server) -> Readers:
    """So many readers of the system's stream."""
    return Readers(server.port, count, path=system.path, headers=system.headers(), websocket=system.websocket)


scenario = Memory()
