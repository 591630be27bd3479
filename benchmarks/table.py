"""The table: a line for each figure, a column for each system."""

from collections.abc import Sequence

from benchmarks.measuring import Figures
from benchmarks.scenarios.base import Row, Scenario
from benchmarks.systems import System

Runs = dict[tuple[str, str], list[Figures]]
"""By scenario's name and system's title: what each run found."""


def render(scenarios: Sequence[Scenario], systems: Sequence[System], runs: Runs) -> str:
    """The table in Markdown, columns aligned so that it reads on a terminal too."""
    lines = [["", *(system.title for system in systems)]]
    for scenario in scenarios:
        lines.append([f"**{scenario.title}**", *("" for _ in systems)])
        for row in scenario.rows:
            cells = [_cell(row, runs.get((scenario.name, system.title), [])) for system in systems]
            lines.append([row.title, *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    head, *body = (_line(line, widths) for line in lines)
    rule = "|" + "|".join("-" * (widths[0] + 2) if not i else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    return "\n".join([head, rule, *body])


def _cell(row: Row, found: list[Figures]) -> str:
    values = [figures[row.key] for figures in found if row.key in figures]
    return f"{row.pick(values):,.{row.digits}f}" if values else "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"
