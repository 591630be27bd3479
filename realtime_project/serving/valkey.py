"""The embedded Valkey: a real server, on 127.0.0.1 with a password, with its append-only file in the data folder."""

import contextlib
import os
import signal
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime_project.serving.binaries import valkey_server
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import kept_secret, reason
from realtime_project.serving.ports import LOOPBACK, free_port
from realtime_project.serving.process import Child

START_SECONDS = 60.0  # a large append-only file takes its time to load
STOP_SECONDS = 20.0
CONFIGURATION = "valkey.conf"


class EmbeddedValkey:
    """A Valkey with its home (data, log, configuration with the password) in one folder.

    `durable=False` keeps nothing on disk, for tests. It listens on a free port of 127.0.0.1 only, and asks a
    password that only we can read: other users of the machine can reach the port.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.child: Child | None = None

    def prepare(self) -> Child:
        """Ends what a killed server left running, and returns what to start.

        Raises:
            ServingError: the folder cannot be used.
        """
        try:
            self.home.mkdir(mode=0o700, exist_ok=True)
            self.home = self.home.resolve()
            (self.home / "data").mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.home / "data", os.W_OK):
                raise ServingError(f"The embedded Valkey cannot write to {self.home / 'data'}.")
        except OSError as error:
            raise ServingError(f"The embedded Valkey cannot use {self.home}: {reason(error)}.") from error
        self._password = kept_secret(self.home / "password")
        self._end_leftover()
        self._port = free_port()
        self._configure()
        self.child = Child(
            name="Valkey",
            argv=[str(valkey_server()), str(self.home / CONFIGURATION)],
            stop_signal=signal.SIGTERM,  # writes the append-only file to disk, then ends
            stop_seconds=STOP_SECONDS,
            output=self.home / "log",
        )
        return self.child

    def start(self) -> str:
        """Starts it, waits until it answers, and returns the address for REDIS_URL.

        Raises:
            ServingError: as `prepare`, or it did not come up.
        """
        child = self.child or self.prepare()
        child.start()
        self.wait_until_ready()
        return self.url

    @property
    def url(self) -> str:
        """The address, as REDIS_URL."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    def wait_until_ready(self) -> None:
        """Returns once it answers.

        Raises:
            ServingError: it ended, or did not answer within START_SECONDS; the sentence has its log's last line.
        """
        assert self.child is not None  # noqa: S101
        deadline = time.monotonic() + START_SECONDS
        with self._client() as client:
            while time.monotonic() < deadline and self.child.exit_code is None:
                try:
                    client.ping()
                except redis.RedisError:  # not there yet, or still loading its data
                    time.sleep(0.02)
                else:
                    return
        self.child.kill()
        lines = (self.home / "log").read_text(errors="replace").strip().splitlines()
        raise ServingError(
            f"The embedded Valkey did not start; the last line of {self.home / 'log'}: {lines[-1] if lines else '(nothing)'}"
        )

    def stop(self) -> None:
        """Ends it; what was written stays."""
        if self.child is not None:
            self.child.stop()

    def _client(self) -> redis.Redis:
        # redis-py would try again by itself, with pauses of its own.
        return redis.Redis(host=LOOPBACK, port=self._port, password=self._password, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _configure(self) -> None:
        """Writes the configuration. In a file, because everybody can read the arguments of a process."""
        options = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "requirepass": self._password,
            "dir": f'"{self.home / "data"}"',
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            "daemonize": "no",
            "maxmemory-policy": "noeviction",  # a log may not lose entries to make room
        }
        with os.fdopen(os.open(self.home / CONFIGURATION, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.writelines(f"{name} {value}\n" for name, value in options.items())

    def _end_leftover(self) -> None:
        """Ends a server that outlived the one that started it: the caller holds the data folder, so it is ours."""
        try:
            configured = dict(line.split(" ", 1) for line in (self.home / CONFIGURATION).read_text().splitlines())
            self._port = int(configured["port"])
        except (OSError, ValueError, KeyError):
            return
        deadline = time.monotonic() + STOP_SECONDS
        with self._client() as client:
            # Only ours knows the password; whoever else listens there by now is left alone.
            while _answers(client):
                with contextlib.suppress(redis.RedisError):
                    client.shutdown()
                if time.monotonic() > deadline:
                    raise ServingError("A Valkey left over from an earlier start does not end: end it, then start again.")
                time.sleep(0.05)


def _answers(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.BusyLoadingError:
        return True
    except (redis.RedisError, OSError):
        return False
    return True
