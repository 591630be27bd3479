"""`python -m tests.faults --time 600 --seeds 1..10`: runs, one seed after the other; exit code 1 when a promise was broken.

EVENT_BROKER says on which broker. Writes `report.json` and `report.md` into `--out`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import django

django.setup()  # the stores' classes belong to the product, whose modules want it

# isort: split
from tests.faults import report  # noqa: E402
from tests.faults.driver import Outcome, Run  # noqa: E402
from tests.faults.schedule import Fault, draw  # noqa: E402
from tests.faults.shrinking import smallest  # noqa: E402
from tests.live.processes import BROKER  # noqa: E402


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's output


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--time", type=float, default=60.0, help="seconds of faults for each seed")
    parser.add_argument("--seeds", default="1", help="one (3), several (1,5) or a range (1..10)")
    parser.add_argument("--only", default="", help="kinds of faults, with commas between")
    parser.add_argument("--shrink", type=float, default=0.0, help="seconds to look for the smallest history of a failure")
    parser.add_argument("--out", type=Path, default=None, help="a folder for the reports, and of failures for ledger and logs")
    return parser.parse_args()


def seeds_of(text: str) -> list[int]:
    """`3`, `1,5` or `1..10`."""
    first, dots, last = text.partition("..")
    return list(range(int(first), int(last) + 1)) if dots else [int(each) for each in text.split(",")]


async def run(seed: int, faults: Sequence[Fault], keep: Path | None = None) -> Outcome:
    """One run, from the first process to the verdict."""
    return await Run(seed=seed, faults=faults, say=say, keep=keep).outcome()


async def shrunk(outcome: Outcome, seconds: float) -> list[Fault]:
    """The fewest faults that fail again."""

    async def fails(faults: Sequence[Fault]) -> bool:
        say(f"seed {outcome.seed}: again with {len(faults)} faults")
        return bool((await run(outcome.seed, faults)).findings)

    return await smallest(outcome.faults, fails, seconds=seconds)


async def main(options: argparse.Namespace) -> int:
    outcomes: list[Outcome] = []
    only = [each for each in options.only.split(",") if each]
    for seed in seeds_of(options.seeds):
        faults = draw(seed=seed, seconds=options.time, broker=BROKER, only=only)
        outcome = await run(seed, faults, options.out)
        outcomes.append(outcome)
        say(json.dumps(report.as_json(outcome) | {"schedule": len(faults), "findings": len(outcome.findings)}))
        if outcome.findings:
            fewest = await shrunk(outcome, options.shrink) if options.shrink else None
            say(outcome.logs)
            say(report.explained(outcome, fewest))
        write(options.out, outcomes)
    say("\n".join([report.heading(), *map(report.row, outcomes)]))
    return int(any(each.findings for each in outcomes))


def write(folder: Path | None, outcomes: Sequence[Outcome]) -> None:
    """The reports so far."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps([report.as_json(each) for each in outcomes], indent=1))
    (folder / "report.md").write_text("\n".join([report.heading(), *map(report.row, outcomes), ""]))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
