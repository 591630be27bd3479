"""What it costs to find who subscribed to an event, among few patterns and among very many."""

import json
from typing import ClassVar

from benchmarks.measuring import Figures
from benchmarks.processes import python
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System, run
from benchmarks.throughline import Throughline


class Topics(Scenario):
    name = "topics"
    title = "events matched with the patterns of one organisation: us an event"
    repetitions: ClassVar = 3
    rows: ClassVar = [
        Row("trie_10", "10 patterns", 1),
        Row("trie_10000", "10,000 patterns", 1),
        Row("trie_100000", "100,000 patterns", 1),
        Row("compared_10", "10 patterns, compared one by one", 1),
        Row("compared_10000", "10,000 patterns, compared one by one"),
        Row("growth", "10,000 patterns cost so many times as much as 10", 1),
        Row("gain", "10,000 patterns: comparing one by one costs so many times as much"),
    ]

    def fits(self, system: System) -> bool:
        return isinstance(system, Throughline) and super().fits(system)

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        largest = "10000" if quick else "100000"
        printed = run(
            python("-m", "benchmarks.peers.throughline.topics", largest), "Nothing could be matched", system.environment(stores)
        )
        found: dict[str, float] = json.loads(printed.splitlines()[-1])
        return found | {
            "growth": found["trie_10000"] / found["trie_10"],
            "gain": found["compared_10000"] / found["trie_10000"],
        }


scenario = Topics()
