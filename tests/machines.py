"""How long the state machines play: a little in every run, and at random for as long as MACHINE_EXAMPLES (a number) says."""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))


def play(make: Callable[[], RuleBasedStateMachine], *, examples: int, steps: int) -> None:
    """Plays so many examples of at most so many steps each, the same ones every time; with MACHINE_EXAMPLES always new ones."""
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=EXAMPLES or examples,
            stateful_step_count=steps,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=True,
            # With real stores every attempt at a shorter example takes seconds.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
