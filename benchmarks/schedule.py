"""When events are published and when the network drops: drawn from a seed, the same for every system."""

import random
from dataclasses import dataclass
from enum import StrEnum

DROP_SECONDS = 2.0
FREE_SECONDS = (1.0, 4.0)
"""Before a drop and after it."""


class Kind(StrEnum):
    """How a drop looks from both ends."""

    CUT = "cut"
    """Connections are reset at once and new ones refused: a cable pulled, a proxy restarted."""
    HOLE = "hole"
    """Nothing passes and nobody is told; at the end connections are reset: a phone that changes its network."""


@dataclass(frozen=True)
class Drop:
    """From `at`, in seconds after the beginning, for DROP_SECONDS."""

    at: float
    kind: Kind


@dataclass(frozen=True)
class Schedule:
    """What happens in one run. `events`: the moment of each, in seconds after the beginning."""

    events: tuple[float, ...]
    drops: tuple[Drop, ...]


def draw(seed: int, *, seconds: float, rate: float, drops: int) -> Schedule:
    """Events at random moments, `rate` a second on average; drops of both kinds, each somewhere in its own part of the time.

    A part is `seconds / drops`, its first second and its last 4 are free of drops: clients have a cursor before, and are
    back before the next one, or the end.
    """
    chance = random.Random(seed)
    part, (before, after) = seconds / drops, FREE_SECONDS
    spare = part - before - DROP_SECONDS - after
    if spare < 0:
        raise ValueError(f"{drops} drops need {drops * (part - spare):.0f} s at least, not {seconds:.0f}.")
    events, at = [], chance.expovariate(rate)
    while at < seconds:
        events.append(at)
        at += chance.expovariate(rate)
    kinds = [list(Kind)[n % len(Kind)] for n in range(drops)]
    chance.shuffle(kinds)
    begins = [number * part + before + chance.uniform(0, spare) for number in range(drops)]
    return Schedule(tuple(events), tuple(Drop(at, kind) for at, kind in zip(begins, kinds, strict=True)))
