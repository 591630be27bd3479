"""The table says the median of several runs, the worst of what must be zero, and a dash where nothing was measured."""

from typing import ClassVar

from benchmarks.scenarios.base import Row, Scenario
from benchmarks.systems import PlainAsgi, StockChannels
from benchmarks.table import render


class Example(Scenario):
    name = "example"
    title = "an example"
    rows: ClassVar = [Row("speed", "speed"), Row("missing", "missing", pick=max)]


def test_each_figure_has_a_line_and_each_system_a_column() -> None:
    plain, stock = PlainAsgi(), StockChannels()
    found = [{"speed": speed, "missing": missing} for speed, missing in ((1000.0, 0.0), (3000.0, 7.0), (2000.0, 0.0))]
    text = render([Example()], [plain, stock], {("example", plain.title): found})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert cells[0] == ["", plain.title, stock.title]
    assert cells[2] == ["**an example**", "", ""]
    assert cells[3:] == [["speed", "2,000", "-"], ["missing", "7", "-"]]
