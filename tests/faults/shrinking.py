"""The smallest list of faults that still fails: delta debugging (Zeller and Hildebrandt, 2002), as far as the time goes."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def smallest(
    items: Sequence[T],
    fails: Callable[[Sequence[T]], Awaitable[bool]],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[T]:
    """Items of which none can be left out, or what was reached within `seconds`; `fails` is asked of ever fewer of them.

    A failure that depends on chance may not come again: then more is kept than was needed, never less than failed once.
    """
    deadline = clock() + seconds
    kept, parts = list(items), 2
    while len(kept) > 1 and clock() < deadline:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            if clock() >= deadline:
                return kept
            fewer = kept[:start] + kept[start + size :]
            if fewer and await fails(fewer):
                kept, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return kept
            parts = min(len(kept), parts * 2)
    return kept
