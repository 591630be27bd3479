"""A pytest plugin (`-p tests.stores`): real stores for a test run that was given none.

It must come before pytest-django, which reads the settings - and with them the addresses of the
stores - before any conftest.py is imported. With pytest-xdist, pytest-django gives each process a
database of its own; here each gets a Valkey of its own.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from realtime_project.serving.nats import EmbeddedNats
from realtime_project.serving.postgres import EmbeddedPostgres
from realtime_project.serving.valkey import EmbeddedValkey


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Sets DATABASE_URL, REDIS_URL and SECRET_KEY where the environment has none."""
    os.environ.setdefault("SECRET_KEY", "a-signing-key-for-tests-only-0123456789abcdef")
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Keys and doorbells of one process would be heard in the others.
        del os.environ["REDIS_URL"]
        os.environ.pop("NATS_URL", None)
    nats_missing = os.environ.get("EVENT_BROKER") == "nats" and not os.environ.get("NATS_URL")
    if nats_missing or not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        folder = Path(tempfile.mkdtemp(prefix="throughline-tests-"))
        folder.chmod(0o711)  # the account that Postgres runs as, when we are root, passes through
        early_config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        start_stores(folder, early_config)
    return (yield)


def start_stores(folder: Path, config: pytest.Config) -> None:
    """Starts the missing ones below `folder`, and arranges that they end with the test run."""
    if not os.environ.get("DATABASE_URL"):
        postgres = EmbeddedPostgres(folder / "postgres", connections=400, durable=False)
        config.add_cleanup(lambda: shutil.rmtree(postgres.home, ignore_errors=True))  # elsewhere, where root made it
        config.add_cleanup(postgres.stop)
        os.environ["DATABASE_URL"] = postgres.start()
    if not os.environ.get("REDIS_URL"):
        valkey = EmbeddedValkey(folder / "valkey", durable=False)
        config.add_cleanup(valkey.stop)
        os.environ["REDIS_URL"] = valkey.start()
    if os.environ.get("EVENT_BROKER") == "nats" and not os.environ.get("NATS_URL"):
        nats = EmbeddedNats(folder / "nats")
        config.add_cleanup(nats.stop)
        os.environ["NATS_URL"] = nats.start()
