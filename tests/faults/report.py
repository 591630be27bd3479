"""What is written of runs: JSON for programs, rows for docs/reference/reliability.md, and findings for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.faults.driver import Outcome
from tests.faults.schedule import Fault

COLUMNS = ("seed", "broker", "seconds", "faults", "published", "received", "told", "reconnects", "answers", "jobs", "verdict")
MOST_FINDINGS = 10


def verdict(outcome: Outcome) -> str:
    """In a word."""
    return "kept" if not outcome.findings else f"{len(outcome.findings)} findings"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything but the logs."""
    return {
        "seed": outcome.seed,
        "broker": outcome.broker,
        "seconds": round(outcome.seconds),
        "faults": outcome.faults_by_kind,
        "counts": outcome.counts,
        "answers ended": dict(outcome.ended),
        "responses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "processes that ended by themselves": dict(outcome.exits),
        "left out": outcome.without,
        "verdict": verdict(outcome),
        "findings": [asdict(each) for each in outcome.findings],
        "schedule": [each.as_json() for each in outcome.faults],
    }


def heading() -> str:
    """The first two lines of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def row(outcome: Outcome) -> str:
    """One line of the table."""
    values = {
        "seed": outcome.seed,
        "broker": outcome.broker,
        "seconds": round(outcome.seconds),
        "faults": len(outcome.faults),
        "verdict": verdict(outcome),
    } | {name: outcome.counts[name] for name in COLUMNS if name in outcome.counts}
    return f"| {' | '.join(str(values[name]) for name in COLUMNS)} |"


def explained(outcome: Outcome, smallest: Sequence[Fault] | None = None) -> str:
    """The findings, each with its part of the history, the seed, and the fewest faults that still show one."""
    lines = [f"seed {outcome.seed} on {outcome.broker}: {len(outcome.findings)} findings"]
    for each in outcome.findings[:MOST_FINDINGS]:
        lines += [f"  {each.kind.upper()} {each.reader}: {each.what}", *(f"      {line}" for line in each.slice)]
    faults = outcome.faults if smallest is None else smallest
    lines.append(f"faults ({len(faults)} of {len(outcome.faults)}):")
    return "\n".join([*lines, *(f"  {each.kind} {each.target} {each.seconds} s after {each.pause} s" for each in faults)])
