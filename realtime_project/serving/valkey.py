"""The embedded Valkey: a real server, on a unix socket, with its append-only file in the data folder."""

import contextlib
import os
import signal
import time
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime_project.serving.binaries import valkey_server
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import reason
from realtime_project.serving.process import Child
from realtime_project.serving.sockets import is_listening, socket_folder

START_SECONDS = 60.0  # a large append-only file takes its time to load
STOP_SECONDS = 20.0


class EmbeddedValkey:
    """A Valkey with its home (data, log, socket) in one folder.

    `durable=False` keeps nothing on disk, for tests. It listens on no network address; only our own user
    and root can enter the folder of its socket.
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
            (self.home / "data").mkdir(mode=0o700, exist_ok=True)
            if not os.access(self.home / "data", os.W_OK):
                raise ServingError(f"The embedded Valkey cannot write to {self.home / 'data'}.")
        except OSError as error:
            raise ServingError(f"The embedded Valkey cannot use {self.home}: {reason(error)}.") from error
        self.socket = socket_folder(self.home) / "valkey.sock"
        self._end_leftover()
        self.child = Child(
            name="Valkey",
            argv=[str(valkey_server()), *self._options()],
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
        return f"unix://{quote(str(self.socket))}?db=0"

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
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home / "data"),
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",  # a log may not lose entries to make room
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _end_leftover(self) -> None:
        """Ends a server that outlived the one that started it: the caller holds the data folder, so it is ours."""
        if not is_listening(self.socket):
            return
        with self._client() as client, contextlib.suppress(redis.RedisError):
            client.shutdown()
        deadline = time.monotonic() + STOP_SECONDS
        while is_listening(self.socket):
            if time.monotonic() > deadline:
                raise ServingError("A Valkey left over from an earlier start does not end: end it, then start again.")
            time.sleep(0.05)
