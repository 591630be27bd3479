"""How long the state machines play: a little in every run, and at random for as long as MACHINE_EXAMPLES (a number) says."""

import os
import random
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
SEEDS = 2**32


def play(make: Callable[[], RuleBasedStateMachine], *, examples: int, steps: int) -> None:
    """Plays so many examples of at most so many steps each, the same ones every time; with MACHINE_EXAMPLES always new ones."""
    first = random.randrange(SEEDS) if EXAMPLES else 0
    for number in range(first, first + (EXAMPLES or examples)):
        _play_one(seed(number)(make), steps)


def _play_one(make: Callable[[], RuleBasedStateMachine], steps: int) -> None:
    """The shortest example, with which Hypothesis begins, and another one.

    Of many examples it makes most by changing a little in the one before: with real stores that is time lost.
    """
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=2,
            stateful_step_count=steps,
            database=None,
            deadline=None,
            print_blob=True,
            # With real stores every attempt at a shorter example takes seconds.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
