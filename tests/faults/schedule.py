"""What breaks, and when: drawn from a seed, the same again for the same seed."""

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from tests.faults.faults import KINDS, Kind

PAUSE = (0.5, 3.0)


@dataclass(frozen=True)
class Fault:
    """A `kind` of `faults.KINDS`, after `pause` seconds of peace, for `seconds`, at `target` where there are several."""

    kind: str
    pause: float
    seconds: float
    target: str = ""

    def as_json(self) -> dict[str, Any]:
        """For reports."""
        return asdict(self)


def draw(*, seed: int, seconds: float, broker: str, only: Collection[str] = ()) -> list[Fault]:
    """Faults for so many seconds. Every kind comes once before one comes again; `only`: of these kinds."""
    chance = random.Random(seed)
    names = sorted(name for name, kind in KINDS.items() if broker in kind.brokers and (not only or name in only))
    if not names:
        raise ValueError(f"No fault of {sorted(only)} exists with {broker}: {sorted(KINDS)}.")
    faults: list[Fault] = []
    spent, deck = 0.0, list[str]()
    while True:
        if not deck:
            deck = list(names)
            chance.shuffle(deck)
        fault = _one(deck.pop(), KINDS, chance)
        spent += fault.pause + fault.seconds + KINDS[fault.kind].cost
        if faults and spent > seconds:
            return faults
        faults.append(fault)


def _one(name: str, kinds: dict[str, Kind], chance: random.Random) -> Fault:
    kind = kinds[name]
    return Fault(
        kind=name,
        pause=round(chance.uniform(*PAUSE), 2),
        seconds=round(chance.uniform(*kind.seconds), 2),
        target=chance.choice(kind.targets) if kind.targets else "",
    )
