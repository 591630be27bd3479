"""The browser's own modules, tested where they run without a browser: in Node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path("tests/browser/js")
STATIC_FOLDERS = (
    "events/static",
    "chat/static",
    "knowledge/static",
    "notifications/static",
    "workspaces/static",
    "plugins/static",
)


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
    """The modules below `static`, side by side as they are served, their tests, and a package.json that says what they are."""
    for folder in STATIC_FOLDERS:
        shutil.copytree(ROOT / folder, tmp_path / "static", dirs_exist_ok=True)
    shutil.copytree(ROOT / TESTS, tmp_path / TESTS)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / TESTS).glob("*.test.mjs")))
def test_module(node: str, modules: Path, name: str) -> None:
    result = subprocess.run(
        [node, "--test", str(TESTS / name)], cwd=modules, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_there_are_module_tests() -> None:
    assert {path.name for path in (ROOT / TESTS).glob("*.test.mjs")} >= {"sse.test.mjs", "stream.test.mjs", "feed.test.mjs"}
