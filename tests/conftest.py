"""What every test may ask for: the addresses of the stores (see `tests/stores.py`), and a browser."""

import os
import shutil
from collections.abc import Iterator

import pytest

from realtime_project.serving.nats import EmbeddedNats


@pytest.fixture(scope="session")
def database_url() -> str:
    """The address of the Postgres of this test run; Django's tests use a database `test_...` beside it."""
    return os.environ["DATABASE_URL"]


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The address of the Valkey of this test run."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a NATS with JetStream: NATS_URL, or one that is started for this test run."""
    if os.environ.get("NATS_URL"):
        yield os.environ["NATS_URL"]
        return
    server = EmbeddedNats(tmp_path_factory.mktemp("nats"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The path of a Chromium: CHROMIUM, or the system's. Without one the test is skipped; in CI (CI=1) it fails."""
    names = (os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        _missing("there is no Chromium: install one, or set CHROMIUM to its path")
    return str(path)


@pytest.fixture(scope="session")
def nginx_path() -> str:
    """The path of nginx, under the same rule as `chromium_path`."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if path is None:
        _missing("there is no nginx")
    return str(path)


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "1":
        pytest.fail(f"{reason} (CI=1 wants it)")
    pytest.skip(reason)
