"""Every line of the threat table names a test, and that test exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "security.md"
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("|") and not re.fullmatch(r"[|\- ]+", line) and not line.startswith("| threat |")
]


def names_in(path):
    """Names of the tests in a file, by its syntax: nothing is imported or run."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions) and node.name.startswith("test_")}


def test_the_table_is_there():
    assert len(ROWS) > 60
    assert len({row[0] for row in ROWS}) > 55


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row[0])[:60])
def test_each_line_has_a_defence_and_a_test_that_exists(row):
    assert len(row) == 3, row
    assert row[1]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[2])
    assert named, f"name a test, as `path::name`: {row[2]}"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path} has no {name}"
