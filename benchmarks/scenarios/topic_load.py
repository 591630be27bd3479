"""1,000 connections with different patterns in one organisation, 500 events a second: does one core suffice, is anything lost?

Each connection asks for what concerns its own task and for what concerns its team: two patterns, and some events match
both. Teams have 10 members, so each event goes to 10 of the 1,000 connections.
"""

from typing import ClassVar

from benchmarks.measuring import Figures, live
from benchmarks.peers.throughline.teams import MEMBERS, TEAMS, patterns
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System
from benchmarks.throughline import Throughline

CONNECTIONS = TEAMS * MEMBERS
PER_SECOND = 500


class TopicLoad(Scenario):
    name = "topic-load"
    title = f"{CONNECTIONS:,} connections with different patterns, {PER_SECOND} events/s, each for {MEMBERS}"
    rows: ClassVar = [
        Row("server_share", "server, % of its core"),
        Row("per_second", "deliveries/s"),
        Row("cpu_per_delivery", "server CPU us per delivery", 1),
        Row("p50_ms", "p50 ms", 1),
        Row("p99_ms", "p99 ms", 1),
        Row("missing", "events missing", pick=max),
        Row("doubled", "events doubled", pick=max),
        Row("foreign_share", "others, % of the server's core"),
        Row("opened_per_second", "connections opened/s"),
    ]

    def fits(self, system: System) -> bool:
        return isinstance(system, Throughline) and super().fits(system)

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        assert isinstance(system, Throughline)
        return loaded(system, stores, seconds=4 if quick else 20)


def loaded(
    system: Throughline, stores: Stores, *, seconds: int, connections: int = CONNECTIONS, per_second: int = PER_SECOND
) -> Figures:
    """One run. `seconds * per_second` must be a multiple of the number of teams, or some would hear more than others."""
    figures = live(
        system,
        stores,
        readers=connections,
        words=["--rate", str(per_second), "--seconds", str(seconds)],
        module="benchmarks.peers.throughline.publish_teams",
        each_of=TEAMS,
        asking=system.asking([patterns(system.organization, number) for number in range(connections)]),
    )
    return figures | {"cpu_per_delivery": figures["cpu_per_million"]}


scenario = TopicLoad()
