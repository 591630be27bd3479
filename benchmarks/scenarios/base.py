"""What a scenario is."""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.measuring import Figures
from benchmarks.stores import Stores
from benchmarks.systems import System


@dataclass(frozen=True)
class Row:
    """One line of the table: which figure, what it is called, how many digits, and what stands for several runs."""

    key: str
    title: str
    digits: int = 0
    pick: Callable[[list[float]], float] = statistics.median


class Scenario:
    """One thing that is measured for every system that can do it."""

    name: str
    title: str
    rows: ClassVar[list[Row]]
    repetitions: ClassVar[int] = 3

    @property
    def about(self) -> str:
        """What happens in it: what its module says, on one line."""
        return " ".join((sys.modules[type(self).__module__].__doc__ or "").split())

    def fits(self, system: System) -> bool:
        """Whether this system can do it at all, and is to be measured in it."""
        return not system.scenarios or self.name in system.scenarios

    def measure(self, system: System, stores: Stores, *, quick: bool) -> Figures:
        """One run."""
        raise NotImplementedError

    def run(self, system: System, stores: Stores, *, quick: bool, seed: int) -> Figures:  # noqa: ARG002 - for those with chance
        """The run with this number, from 1; what is drawn by chance is drawn from it, the same for every system."""
        return self.measure(system, stores, quick=quick)
