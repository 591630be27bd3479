"""`python -m benchmarks [--quick] [--systems NAME,...] [scenario...]`: measures, prints the table, keeps it in the docs."""

import argparse
import datetime as dt
import statistics
import sys
import time

from benchmarks import machine, table
from benchmarks.processes import ROOT, BenchmarkError
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.base import Scenario
from benchmarks.stores import Stores
from benchmarks.systems import EventStream, PlainAsgi, SocketIo, StockChannels, System
from benchmarks.throughline import Throughline, ThroughlineSockets

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
QUIET_PERCENT = 10
"""How much of the server's core others may have had, at most, in any run."""
SYSTEMS: list[System] = [Throughline(), ThroughlineSockets(), EventStream(), StockChannels(), SocketIo(), PlainAsgi()]


def chosen_systems(names: str, stores: Stores) -> tuple[list[System], list[str]]:
    """The systems asked for (all by default), made ready; and of those that cannot be measured, which and why."""
    ready, left_out = [], []
    for system in SYSTEMS:
        if names and type(system).__name__ not in names.split(","):
            continue
        try:
            system.prepare(stores)
        except BenchmarkError as error:
            left_out.append(f"**{system.title} is left out:** {error}")
            print(left_out[-1], file=sys.stderr)
            continue
        ready.append(system)
    return ready, left_out


def measure(scenarios: list[Scenario], systems: list[System], stores: Stores, *, quick: bool) -> tuple[table.Runs, list[str]]:
    """All runs, and which of them failed: the systems take turns, so that a slow minute of the machine hits them all."""
    runs: table.Runs = {}
    failed = []
    for scenario in scenarios:
        for repetition in range(1 if quick else scenario.repetitions):
            for system in systems:
                if not scenario.fits(system):
                    continue
                begun = time.monotonic()
                try:
                    figures = scenario.run(system, stores, quick=quick, seed=repetition + 1)
                except BenchmarkError as error:
                    print(f"{scenario.name}, {system.title}: {error}", file=sys.stderr)
                    failed.append(f"{scenario.name} {repetition + 1} of {system.title}")
                    continue
                runs.setdefault((scenario.name, system.title), []).append(figures)
                took = time.monotonic() - begun
                shown = ", ".join(f"{row.title} {figures.get(row.key, 0):,.{row.digits}f}" for row in scenario.rows[:4])
                print(f"{scenario.name} {repetition + 1}, {system.title} ({took:.0f} s): {shown}", file=sys.stderr)
    return runs, failed


def warnings(runs: table.Runs, failed: list[str]) -> list[str]:
    """What must be said of the runs: that some failed, that the machine did something else meanwhile."""
    told = [f"**Failed, and left out:** {', '.join(failed)}."] if failed else []
    shares = [figures["foreign_share"] for found in runs.values() for figures in found if "foreign_share" in figures]
    if not shares or max(shares) <= QUIET_PERCENT:
        return told
    most, usual = max(shares), statistics.median(shares)
    return [*told, f"**Not to be quoted:** other programs used up to {most:.0f} % of the server's core (median {usual:.0f} %)."]


def explanations() -> dict[str, str]:
    """What happens in each scenario, and the title of the first of those that differ in size only."""
    found: dict[str, str] = {}
    for scenario in SCENARIOS:
        found.setdefault(scenario.about, scenario.title)
    return found


def page(text: str, stores: Stores, told: list[str], *, quick: bool, minutes: float) -> str:
    """The page of the docs: the table, and what it was measured on."""
    about = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m benchmarks`); what is measured, and how, is said in `benchmarks/README.md`.",
        "",
        *(line for warning in told for line in (warning, "")),
        text,
        "",
        f"Measured {dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M} UTC in {minutes:.0f} minutes"
        + (
            ", one short run each (`--quick`)."
            if quick
            else "; the median of the runs, and the worst for what is missing or doubled."
        ),
        "",
        *(f"- {line}" for line in [*machine.description(), stores.description()]),
        "",
        "## How each is measured",
        "",
        *(f"- **{title}**: {about}" for about, title in explanations().items()),
    ]
    return "\n".join(about) + "\n"


def main() -> int:
    """Runs what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run each; for trying things out, not for quoting")
    parser.add_argument("--systems", default="", help=f"of {', '.join(type(s).__name__ for s in SYSTEMS)}; all by default")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(s.name for s in SCENARIOS)}; all by default")
    options = parser.parse_args()
    unknown = set(options.scenarios) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    scenarios = [scenario for scenario in SCENARIOS if not options.scenarios or scenario.name in options.scenarios]
    if len(machine.ALL_CORES) < 2:
        print("Two cores are needed: one for the server, one for the load.", file=sys.stderr)
        return 1
    machine.claim()
    begun = time.monotonic()
    try:
        with Stores() as stores:
            systems, left_out = chosen_systems(options.systems, stores)
            runs, failed = measure(scenarios, systems, stores, quick=options.quick)
            text = table.render(scenarios, systems, runs)
            told = left_out + warnings(runs, failed)
            whole = page(text, stores, told, quick=options.quick, minutes=(time.monotonic() - begun) / 60)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    print(text)
    print(*told, sep="\n")
    if not options.scenarios and not options.systems:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(whole)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
