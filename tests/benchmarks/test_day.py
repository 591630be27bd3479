"""The day in small: nothing is lost though both web processes die; too few open files are said at once."""

import resource
import secrets
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from benchmarks.processes import BenchmarkError
from benchmarks.scenarios.day import SMALL, Size, check_files, lived
from benchmarks.stores import Stores
from benchmarks.throughline import Throughline

TINY = Size(feeds=20, answers=3, workspaces=2, members=2, seconds=9, every=1)


def test_the_small_day_lasts_half_a_minute() -> None:
    assert SMALL.seconds == 30
    assert Size().clients == 5500


def test_too_few_open_files_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    check_files(3000)
    with pytest.raises(BenchmarkError, match=r"5,500 clients .* need 5,800 open files, and this account may have 4,096: raise"):
        check_files(Size().clients)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    check_files(10**6)


@pytest.fixture
def own_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """DATABASE_URL names a database that nobody else uses."""
    name = f"benchmarks_{secrets.token_hex(4)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        monkeypatch.setenv("DATABASE_URL", urlunsplit(urlsplit(database_url)._replace(path=f"/{name}")))
        yield
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
@pytest.mark.usefixtures("own_database")
def test_nobody_misses_anything_though_both_web_processes_die() -> None:
    system = Throughline()
    with Stores() as stores:
        system.prepare(stores)
        found = lived(system, stores, TINY)
    assert found["missing"] == found["doubled"] == found["reversed"] == 0
    assert found["deliveries"] == (20 + 2 * 2) * TINY.turns + 3 * TINY.tokens
    assert 0 < found["first_cut"] <= TINY.clients
    assert 0 < found["second_cut"] <= TINY.clients
    assert found["second_back_s"] > 0
