"""What an operator starts with is safe as it stands: settings, the lock of dependencies."""

import contextlib
import os
import re
import secrets
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def production_settings(**changed):
    """The environment that `deploy/throughline.env` makes, with a key of its own, and this run's stores."""
    lines = (ROOT / "deploy" / "throughline.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    stores = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    machine = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    del given["PROMETHEUS_MULTIPROC_DIR"]
    return machine | given | stores | {"SECRET_KEY": secrets.token_urlsafe(50)} | changed


def check(environment):
    command = [sys.executable, str(ROOT / "manage.py"), "check", "--deploy", "--fail-level", "DEBUG"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_djangos_check_finds_nothing_in_the_settings_of_production():
    found = check(production_settings())
    assert found.returncode == 0, found.stderr
    assert "no issues" in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"PUBLIC_URL": ""}, "W012"), ({"SECRET_KEY": "short-and-guessable-0123456789abcdef"}, "W009"), ({"DEBUG": "true"}, "W018")],
)
def test_it_finds_what_is_not_safe(changed, says):
    assert says in check(production_settings(**changed)).stderr


def lock(name):
    """The versions of a lock by name, in the form that package names are compared in (PEP 503); several where Pythons differ."""
    found = {}
    for line in (ROOT / "requirements" / f"{name}.lock").read_text().splitlines():
        pinned = re.fullmatch(r"([\w.\-]+)==([^\s;]+)(?: ; .+)?", line)
        assert pinned, f"each line pins one version, and names no address: {line}"
        found.setdefault(re.sub(r"[-_.]+", "-", pinned[1]).lower(), set()).add(pinned[2])
    return found


def test_what_runs_is_what_is_locked():
    """Nothing was installed beside the lock: a test run says something about the versions that are shipped."""
    tested = lock("dev")
    for name, versions in lock("run").items():
        assert versions == tested[name], f"{name} is another version in tests than in production"
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        assert installed in versions, f"{name} {installed} is installed, the lock says {versions}"


def test_every_package_that_is_installed_with_the_product_is_locked():
    """What our own dependencies ask for, and what those ask for: nothing comes in whose version is left open."""
    locked, todo, seen = lock("run"), list(PROJECT["dependencies"]), set()
    while todo:
        wanted = Requirement(todo.pop())
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if (name, frozenset(wanted.extras)) in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add((name, frozenset(wanted.extras)))
        assert name in locked, f"{name} is in no lock"
        with contextlib.suppress(metadata.PackageNotFoundError):
            asked = [Requirement(each) for each in metadata.requires(name) or ()]
            for each in asked:
                if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                    each.marker = None
                    todo.append(str(each))
    assert len(seen) > 30
