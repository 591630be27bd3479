"""The browser's own modules, tested where they run without a browser: in Node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path("tests/browser/js")
MODULE_FOLDERS = ("events/static/events", "chat/static/chat")


@pytest.fixture
def node() -> str:
    path = shutil.which("node")
    if path is None:
        if os.environ.get("CI") == "1":
            pytest.fail("Node.js is not installed, and CI=1 asks for every test.")
        pytest.skip("Node.js is not installed: the browser's modules are not tested here.")
    return path


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A copy of the modules and their tests, beside a package.json that says what they are; the served folders need none."""
    for folder in (*MODULE_FOLDERS, str(TESTS)):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / TESTS).glob("*.test.mjs")))
def test_module(node: str, modules: Path, name: str) -> None:
    result = subprocess.run(
        [node, "--test", str(TESTS / name)], cwd=modules, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_there_are_module_tests() -> None:
    assert {path.name for path in (ROOT / TESTS).glob("*.test.mjs")} >= {"sse.test.mjs", "stream.test.mjs"}
