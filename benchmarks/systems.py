"""The systems that are measured: how each is started, read and published to."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import ClassVar

import psycopg

from benchmarks.machine import SERVER_CORE
from benchmarks.processes import DATA, ROOT, BenchmarkError, Process, free_port, python
from benchmarks.stores import Stores


class Server:
    """A running server: its process, its port."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port


class System:
    """One thing that can be measured. A new one is a subclass that fills in the names below."""

    title: ClassVar[str]
    application: ClassVar[str]
    """What uvicorn serves."""
    publisher: ClassVar[str]
    """Module with `publish(events)`."""
    followed: ClassVar[str] = ""
    """Module whose `publish` its `followers` hear, where that is another."""
    path: ClassVar[str]
    """What a reader asks for."""
    websocket: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()
    """More words for uvicorn."""
    scenarios: ClassVar[tuple[str, ...]] = ()
    """Names of those it is measured in; empty: all that it fits."""
    answers: ClassVar[bool] = False
    """Whether it produces answers: it has a worker, and POST /stream."""
    idle_readers: ClassVar[int] = 1000
    """How many idle readers it is given; some keep a thread for each."""
    port = 0
    """Where the server of now listens."""
    catch_up_header: ClassVar[str | None] = None
    """Header of a reader that wants everything from the beginning; None: there is no replay."""

    def prepare(self, stores: Stores) -> None:
        """Once per run of the benchmarks: installs, migrates, makes credentials. Raises BenchmarkError when it cannot."""

    def followers(self, port: int, count: int) -> list[str]:  # noqa: ARG002 - for subclasses
        """The command that runs so many clients that come back after a cut, as its own do; empty: it has none."""
        return []

    def environment(self, stores: Stores, *, replay: bool = False) -> dict[str, str]:  # noqa: ARG002 - for subclasses
        """Environment of the server and of the publisher; `replay`: events must be kept."""
        return {"REDIS_URL": stores.redis_url, "DATABASE_URL": stores.database_url}

    def headers(self) -> list[str]:
        """Headers of every reader."""
        return []

    def forget(self, stores: Stores) -> None:
        """Removes the events it keeps elsewhere than in Valkey."""

    @contextlib.contextmanager
    def serve(self, stores: Stores, *, cores: tuple[int, ...] = (SERVER_CORE,), replay: bool = False) -> Iterator[Server]:
        """A fresh server on empty stores."""
        stores.forget()
        self.port = port = free_port()
        name = f"server-{type(self).__name__.lower()}"
        with Process(name, self.command(port), environment=self.environment(stores, replay=replay), cores=cores) as process:
            process.wait_for_port(port)
            yield Server(process, port)

    def command(self, port: int) -> list[str]:
        """What starts the server."""
        command = python("-m", "uvicorn", self.application, "--host", "127.0.0.1", "--port", str(port))
        return [*command, "--log-level", "warning", "--no-access-log", "--timeout-graceful-shutdown", "1", *self.options]


class PlainAsgi(System):
    """The reference line."""

    title = "plain ASGI (reference)"
    application = "benchmarks.peers.plain_asgi.app:application"
    publisher = "benchmarks.peers.plain_asgi.publish"
    path = "/"
    idle_readers = 5000


class StockChannels(System):
    """Channels and channels-redis as their tutorial has them."""

    title = "stock Channels (WebSocket)"
    application = "benchmarks.peers.channels_stock.asgi:application"
    publisher = "benchmarks.peers.channels_stock.publish"
    path = "/ws/feed"
    websocket = True

    def followers(self, port: int, count: int) -> list[str]:
        return python("-m", "benchmarks.followers.sockets", f"ws://127.0.0.1:{port}{self.path}", str(count))


class EventStream(System):
    """django-eventstream with Redis, from packages beside the project's own."""

    title = "django-eventstream"
    application = "benchmarks.peers.eventstream.asgi:application"
    publisher = "benchmarks.peers.eventstream.publish"
    path = "/events/"
    catch_up_header = "Last-Event-ID: bench:0"
    packages = DATA / "eventstream"

    def prepare(self, stores: Stores) -> None:
        # `make bench` has installed it; where nobody has, it is put beside the project's own packages.
        if importlib.util.find_spec("django_eventstream") is None and not (self.packages / "django_eventstream").exists():
            lock = ROOT / "requirements" / "bench.lock"
            command = python("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(self.packages), "-r", str(lock))
            run(command, "django-eventstream cannot be installed")
        migrate = python("-m", "django", "migrate", "--verbosity", "0", "--settings", "benchmarks.peers.eventstream.settings")
        run(migrate, "django-eventstream's tables cannot be made", self.environment(stores))

    def environment(self, stores: Stores, *, replay: bool = False) -> dict[str, str]:
        environment = super().environment(stores) | {"PYTHONPATH": f"{ROOT}:{self.packages}"}
        return environment | ({"EVENTSTREAM_STORAGE": "1"} if replay else {})

    def followers(self, port: int, count: int) -> list[str]:
        url = f"http://127.0.0.1:{port}{self.path}"
        return python("-m", "benchmarks.followers.event_source", url, str(count), "stream-reset")

    def forget(self, stores: Stores) -> None:
        with psycopg.connect(stores.database_url) as database:
            database.execute("TRUNCATE django_eventstream_event, django_eventstream_eventcounter")


class SocketIo(System):
    """Socket.IO with connection state recovery, which only its server for Node.js has; kept beside ours."""

    title = "Socket.IO"
    publisher = "benchmarks.peers.socket_io.publish"
    scenarios = ("drop",)
    sources = ROOT / "benchmarks" / "peers" / "socket_io"
    folder = DATA / "socket_io"

    def prepare(self, stores: Stores) -> None:  # noqa: ARG002 - it needs none
        if not (shutil.which("node") and shutil.which("npm")):
            raise BenchmarkError("It needs Node.js 18 or newer, and npm.")
        lock = self.folder / "node_modules" / ".package-lock.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        for source in (*self.sources.glob("*.json"), *self.sources.glob("*.mjs")):
            shutil.copy(source, self.folder)
        if not lock.exists() or lock.stat().st_mtime < (self.sources / "package-lock.json").stat().st_mtime:
            run(["npm", "ci", "--prefix", str(self.folder), "--no-audit", "--no-fund"], "Socket.IO cannot be installed")

    def environment(self, stores: Stores, *, replay: bool = False) -> dict[str, str]:
        return super().environment(stores, replay=replay) | {"BENCH_PORT": str(self.port)}

    def command(self, port: int) -> list[str]:
        return ["node", str(self.folder / "server.mjs"), str(port)]

    def followers(self, port: int, count: int) -> list[str]:
        return ["node", str(self.folder / "followers.mjs"), f"http://127.0.0.1:{port}", str(count)]


def run(command: list[str], failure: str, environment: dict[str, str] | None = None) -> str:
    """Runs a command to its end and returns what it printed; raises BenchmarkError with `failure` and its last words."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"{failure}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
