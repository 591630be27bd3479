"""Documents taken in, and questions asked over 10,000 and 100,000 passages."""

import json
from typing import ClassVar

from benchmarks.measuring import Figures
from benchmarks.processes import python
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.stores import Stores
from benchmarks.systems import System, run
from benchmarks.throughline import Throughline

SIZES = {"small": ("9.5", "1"), "large": ("47.5", "2")}
"""Megabytes of text and how many such sources: about 10,000 and 100,000 passages."""
EMBEDDED = ("0.15", "1")


class Retrieval(Scenario):
    name = "retrieval"
    title = "documents taken in and asked about (hashed embeddings, unless said otherwise)"
    repetitions: ClassVar = 1
    rows: ClassVar = [
        Row("model_speed", "passages taken in per second, offline embedding model", 1),
        Row("small_chunks", "passages"),
        Row("small_speed", "passages taken in per second"),
        Row("small_merge", "one question, merge: ms"),
        Row("small_ensemble", "one question, ensemble: ms"),
        Row("large_chunks", "passages"),
        Row("large_speed", "passages taken in per second"),
        Row("large_merge", "one question, merge: ms"),
        Row("large_ensemble", "one question, ensemble: ms"),
    ]

    def fits(self, system: System) -> bool:
        return isinstance(system, Throughline) and super().fits(system)

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        figures: Figures = {"model_speed": _run(system, stores, EMBEDDED, "auto")["chunks_per_second"]}
        for name, size in SIZES.items():
            if quick and name == "large":
                continue
            found = _run(system, stores, size, "hashing")
            figures |= {
                f"{name}_chunks": found["chunks"],
                f"{name}_speed": found["chunks_per_second"],
                f"{name}_merge": found["merge_ms"],
                f"{name}_ensemble": found["ensemble_ms"],
            }
        return figures


def _run(system: System, stores: Stores, size: tuple[str, str], embeddings: str) -> dict[str, float]:
    environment = system.environment(stores) | {"KNOWLEDGE_EMBEDDINGS": embeddings, "KNOWLEDGE_MAX_BYTES": "100000000"}
    with stores.on_all_cores():
        printed = run(python("-m", "benchmarks.peers.throughline.knowledge", *size), "Nothing could be taken in", environment)
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return found


scenario = Retrieval()
