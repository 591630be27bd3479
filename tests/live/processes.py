"""A whole server for a test to break: its own Postgres and Valkey (or NATS), web processes, workers.

Everything is a real process with its own log, and can be killed, frozen (SIGSTOP), let go on and
started again on the same data, store by store and process by process. Start processes from the main
thread only: on Linux they die with the thread that started them.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from events.broker.nats import NatsBroker
from events.event import START
from events.streams import Stream
from realtime_project.serving.nats import EmbeddedNats
from realtime_project.serving.postgres import EmbeddedPostgres
from realtime_project.serving.process import Child
from realtime_project.serving.server import LOOP, WEBSOCKETS
from realtime_project.serving.valkey import EmbeddedValkey
from tests.live.leaks import leaks
from tests.patience import patiently

PROJECT = Path(__file__).resolve().parents[2]
BROKER = os.environ.get("EVENT_BROKER", "redis")
LEASE_SECONDS = 6.0
KEEPALIVE_SECONDS = 1.0
READY_SECONDS = 30.0
LOG_CHARS = 6000

SETTINGS = {
    "CHAT_ENGINE": "scripted",
    "RUN_LEASE_SECONDS": str(LEASE_SECONDS),
    "SSE_KEEPALIVE_SECONDS": str(KEEPALIVE_SECONDS),
    "CHAT_RUNNING_PER_USER": "0",
    "EVENTS_STREAM_MAXLEN": "100000",
    "EVENTS_TOPIC_MAXLEN": "100000",
    # Counted, so that the counting is there when the broker is not; never reached.
    "SSE_MAX_CONCURRENT_PER_USER": "1000",
    "EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW": "100000",
    # Several times within an outage.
    "AUTH_RECHECK_SECONDS": "3",
    "GRACEFUL_SHUTDOWN_SECONDS": "3",
    "SECRET_KEY": "a-signing-key-for-live-tests-0123456789abcdef",
    "DJANGO_SETTINGS_MODULE": "realtime_project.settings",
    "PYTHONUNBUFFERED": "1",
}
MANAGE = str(PROJECT / "manage.py")
APPLICATION = "realtime_project.asgi:application"
UVICORN = ["--lifespan", "on", "--loop", LOOP, "--http", "httptools", "--ws", WEBSOCKETS]


class Stack:
    """The processes of one server. `settings` are environment variables for all; web processes serve `application`.

    `broker`: what EVENT_BROKER is for them, by default as for the test run.
    """

    def __init__(
        self,
        *,
        webs: int = 2,
        workers: int = 1,
        settings: dict[str, str] | None = None,
        application: str = APPLICATION,
        broker: str = BROKER,
    ) -> None:
        self._uvicorn = ["-m", "uvicorn", application, *UVICORN]
        self.folder = Path(tempfile.mkdtemp(prefix="live-tests-"))
        self.folder.chmod(0o711)  # the account that Postgres runs as, when we are root, passes through
        # Durable, so that what was committed before a crash is there after it.
        self.postgres = EmbeddedPostgres(self.folder / "postgres", connections=200)
        # Not durable: a Valkey that was killed comes back empty.
        self.valkey = EmbeddedValkey(self.folder / "valkey", durable=False)
        # Durable: a NATS that was killed goes on where it was.
        self.nats = EmbeddedNats(self.folder / "nats")
        self._broker = broker
        self.hot = self.nats if broker == "nats" else self.valkey
        """The store behind the broker."""
        self.webs: list[Child] = []
        self.workers: list[Child] = []
        self.addresses: list[str] = []
        self.environment: dict[str, str] = os.environ | SETTINGS | (settings or {})
        self._wanted = (webs, workers)
        self._log_marks: dict[Path, int] = {}

    def start(self) -> None:
        """Starts everything and waits until it is ready."""
        # Only one of them: nothing may ask for the other.
        self.environment |= {"DATABASE_URL": self.postgres.start(), "REDIS_URL": "", "NATS_URL": ""}
        self.environment |= {"EVENT_BROKER": self._broker, f"{self._broker.upper()}_URL": self.hot.start()}
        prepare = self._child("prepare", [MANAGE, "prepare_database"])
        prepare.start()
        assert prepare.wait(patiently(READY_SECONDS))
        assert prepare.exit_code == 0, self._log_of(prepare)
        webs, workers = self._wanted
        for _ in range(webs):
            self.start_web()
        for _ in range(workers):
            self.start_worker()
        self.wait_ready()

    def start_web(self, **settings: str) -> Child:
        """Starts one more web process, on a port of its own; `settings` are for it alone."""
        port = free_port()
        child = self._child(
            f"web-{port}", [*self._uvicorn, "--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "3"], settings
        )
        child.start()
        self.webs.append(child)
        self.addresses.append(f"http://127.0.0.1:{port}")
        return child

    def start_worker(self, **settings: str) -> Child:
        """Starts one more worker; `settings` are for it alone."""
        child = self._child(f"worker-{len(self.workers) + 1}", [MANAGE, "procrastinate", "worker"], settings)
        child.start()
        self.workers.append(child)
        return child

    def _child(self, name: str, arguments: list[str], settings: dict[str, str] | None = None) -> Child:
        return Child(
            name=name,
            argv=[sys.executable, *arguments],
            environment=self.environment | {"PYTHONPATH": str(PROJECT)} | (settings or {}),
            output=self.folder / f"{name}.log",
        )

    def manage(self, *arguments: str) -> None:
        """Runs a command of the project on its stores, to the end; raises CalledProcessError."""
        environment = self.environment | {"PYTHONPATH": str(PROJECT)}
        subprocess.run([sys.executable, MANAGE, *arguments], env=environment, check=True, capture_output=True, timeout=60)

    def new_people(self, count: int) -> Iterator[list[str]]:
        """Id, token and API key of so many new users, whom no test knows; raises CalledProcessError."""
        command = [sys.executable, "-m", "tests.live.people", str(count)]
        made = subprocess.run(command, env=self.environment, cwd=PROJECT, check=True, capture_output=True)
        return iter(json.loads(made.stdout))

    @property
    def living_workers(self) -> list[Child]:
        """The workers that run."""
        return [each for each in self.workers if each.pid is not None]

    def wait_ready(self) -> None:
        """Returns once `/readyz` of every running web process says 200; raises AssertionError."""
        for web, address in zip(self.webs, self.addresses, strict=True):
            if web.pid is not None:
                try:
                    _wait_ready(web, address)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{self._log_of(web)}") from None

    def heal(self) -> None:
        """Lets everything go on, starts again what died, and leaves two webs and one worker running and ready."""
        for child in (self.postgres.child, self.hot.child, *self.webs, *self.workers):
            if child is not None and child.pid is not None:
                thaw(child)
        for store in (self.postgres, self.hot):
            if store.child is not None and store.child.pid is None:
                store.start()
        for web in self.webs:
            if web.pid is None:
                web.start()
        _, workers = self._wanted
        for extra in self.living_workers[workers:]:
            extra.kill()
        while len(self.living_workers) < workers:
            self.start_worker()
        self.wait_ready()

    def stop(self) -> None:
        """Ends everything and removes its data; raises AssertionError when there is a secret in a log."""
        for child in (*self.webs, *self.workers):
            child.kill()
        for store in (self.hot, self.postgres):
            if store.child is not None and store.child.pid is not None:
                thaw(store.child)
                store.stop()
        leaked = leaks(self.folder, known=self.environment["SECRET_KEY"])
        shutil.rmtree(self.postgres.home, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not leaked, "\n".join(leaked)

    def mark_logs(self) -> None:
        """From here on, `logs` shows what is new."""
        self._log_marks = {path: path.stat().st_size for path in self.folder.glob("*.log")}

    def logs(self) -> str:
        """What the processes wrote since `mark_logs`."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            text = path.read_bytes()[self._log_marks.get(path, 0) :].decode(errors="replace")
            if text:
                parts.append(f"--- {path.name}\n{text[-LOG_CHARS:]}")
        return "\n".join(parts)

    def _log_of(self, child: Child) -> str:
        return (self.folder / f"{child.name}.log").read_text(errors="replace")[-LOG_CHARS:]

    # What is stored, seen from outside.

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement, committed at once."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def journal(self, message_id: str) -> list[tuple[int, str, dict[str, Any]]]:
        """(seq, type, data) of every journaled event of an answer."""
        return self.query(
            "SELECT seq, type, data FROM events_journalevent e JOIN events_durablestream s ON s.id = e.stream_id "
            "WHERE s.name = %s ORDER BY seq",
            f"message:{message_id}",
        )

    def broker(self, message_id: str) -> list[Any]:
        """The entries that the broker holds of an answer."""
        if self.hot is self.nats:
            return on_the_side(self._entries_in_nats(message_id))
        with self.valkey_client() as client:
            return client.xrange(f"tl:{{message:{message_id}}}")

    async def _entries_in_nats(self, message_id: str) -> list[Any]:
        broker = NatsBroker(self.nats.url)
        try:
            [reading] = await broker.read([(Stream("message", message_id), START)], limit=100_000)
            return reading.events
        finally:
            await broker.close()

    def run(self, message_id: str) -> dict[str, Any]:
        """The row of a run: status, error_code, retryable, lease, worker."""
        columns = ("status", "error_code", "retryable", "lease", "worker")
        rows = self.query(f"SELECT {', '.join(columns)} FROM chat_run WHERE message_id = %s", message_id)
        return dict(zip(columns, rows[0], strict=True))

    @contextlib.contextmanager
    def valkey_client(self) -> Iterator[redis.Redis]:
        """A client of its Valkey; a test that needs one is skipped on another broker."""
        if self.hot is not self.valkey:
            pytest.skip(
                "reads or damages keys of Redis itself; NATS is damaged in tests/live/test_nats.py and tests/events/broker"
            )
        with redis.Redis.from_url(self.valkey.url) as client:
            yield client

    # Breaking stores. Waiting happens on the side, so that a test's clients go on reading meanwhile.

    async def kill_broker(self) -> None:
        """SIGKILL: what a Valkey held is gone, what a NATS held is on disk."""
        self.hot.child.kill()

    async def start_broker(self) -> None:
        """Starts it again; a Valkey is empty then."""
        self.hot.child.start()
        await asyncio.to_thread(self.hot.wait_until_ready)

    async def freeze_broker(self) -> None:
        """It keeps its connections and says nothing."""
        freeze(self.hot.child)

    async def thaw_broker(self) -> None:
        """It goes on."""
        thaw(self.hot.child)

    async def crash_postgres(self) -> None:
        """What `pg_ctl stop -m immediate` does: every connection breaks, the next start recovers."""
        self.postgres.child.process.send_signal(signal.SIGQUIT)
        assert await asyncio.to_thread(self.postgres.child.wait, 20)

    async def kill_postgres(self) -> None:
        """SIGKILL to all its processes: what was committed is on disk."""
        for pid in _family(self.postgres.child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert await asyncio.to_thread(self.postgres.child.wait, 20)

    async def start_postgres(self) -> None:
        """Starts it again on its data."""
        self.postgres.child.start()
        await asyncio.to_thread(self.postgres.wait_until_ready)

    async def freeze_postgres(self) -> None:
        """All its processes keep their connections and say nothing."""
        freeze(self.postgres.child)

    async def thaw_postgres(self) -> None:
        """They go on."""
        thaw(self.postgres.child)


def on_the_side(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, in a thread and an event loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def freeze(child: Child) -> None:
    """SIGSTOP to a process and everything it started: it holds its connections and says nothing."""
    for pid in _family(child.pid):
        os.kill(pid, signal.SIGSTOP)


def thaw(child: Child) -> None:
    """SIGCONT to a process and everything it started."""
    for pid in _family(child.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _family(pid: int) -> list[int]:
    """A process and its descendants, itself first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # "pid (name) state ppid ...": the name may hold anything, also brackets.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _wait_ready(web: Child, address: str) -> None:
    deadline = time.monotonic() + patiently(READY_SECONDS)
    answer = "nothing"
    while time.monotonic() < deadline and web.exit_code is None:
        try:
            response = httpx.get(f"{address}/readyz", timeout=5)
            if response.status_code == 200:
                return
            answer = response.text
        except httpx.TransportError as error:
            answer = repr(error)
        time.sleep(0.05)
    raise AssertionError(f"{web.name} (exit code {web.exit_code}) is not ready within {READY_SECONDS:g} s: {answer}")


async def eventually(holds: Callable[[], Any | Awaitable[Any]], *, within: float, what: str) -> Any:
    """What `holds` gives, once that is true; asks again every few milliseconds, fails after `within` seconds."""
    deadline = time.monotonic() + patiently(within)
    while True:
        value = holds()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {within:g} s in vain for {what}"
        await asyncio.sleep(0.01)
