"""The whole server on one machine: stores, preparation, web processes, worker; from start to stop."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import multiprocess

from chat.conf import conf as chat_conf
from events.conf import conf as events_conf
from realtime_project import running
from realtime_project.conf import conf
from realtime_project.logs import redacted
from realtime_project.serving import banner
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import DataFolder, reason
from realtime_project.serving.nats import EmbeddedNats
from realtime_project.serving.ports import is_loopback, listen, web_address
from realtime_project.serving.postgres import EmbeddedPostgres
from realtime_project.serving.process import Child, dies_with_parent
from realtime_project.serving.stores import check_database, check_nats, check_redis
from realtime_project.serving.supervisor import Supervisor
from realtime_project.serving.valkey import EmbeddedValkey

BROKER_URLS = {"redis": "REDIS_URL", "nats": "NATS_URL"}
"""The address of each broker that EVENT_BROKER may name."""

PROJECT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 90.0
WEB_STOP_SECONDS = 10.0
LOOP = "realtime_project.serving.loop:Loop"
WEBSOCKETS = "realtime_project.serving.protocol:WebSocketProtocol"
STREAMS_END_SECONDS = 3  # they end by themselves within 2 s; uvicorn cancels what does not


class Server:
    """What `manage.py serve` runs; `say` prints a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.folder = DataFolder(conf.DATA_DIR)
        self.postgres: EmbeddedPostgres | None = None
        self.valkey: EmbeddedValkey | None = None
        self.nats: EmbeddedNats | None = None
        self.processes: list[Child] = []
        self.environment: dict[str, str] = {}

    def run(self) -> bool:
        """Serves until SIGTERM or Ctrl-C; True when the stop was orderly, False when a second signal forced it.

        Raises:
            ServingError: something that whoever starts it must change; everything started is stopped again.
        """
        started = time.monotonic()
        if conf.WEB_PROCESSES < 1:
            raise ServingError(f"WEB_PROCESSES is {conf.WEB_PROCESSES}: at least one web process is needed.")
        if events_conf.EVENT_BROKER not in BROKER_URLS:
            raise ServingError(f"EVENT_BROKER={events_conf.EVENT_BROKER} is not a broker: {' or '.join(BROKER_URLS)}.")
        self.folder.take()
        try:
            with listen(conf.HOST, conf.PORT) as listener, Supervisor(self.say, died=self._forget_metrics) as supervisor:
                try:
                    self._serve(listener, supervisor, started)
                finally:
                    listener.close()  # or new connections would wait for nobody
                    self._stop(supervisor)
                return supervisor.stop_requests < 2
        finally:
            self.folder.release()

    def _serve(self, listener: socket.socket, supervisor: Supervisor, started: float) -> None:
        """Starts everything in its order, says that it is ready, and watches until a stop is asked for."""
        self._open_stores(supervisor)
        if supervisor.stop_requests:
            return
        prepared = self._prepare_database(supervisor)
        if supervisor.stop_requests:
            return
        self.processes = [self._web_process(number, listener) for number in range(conf.WEB_PROCESSES)]
        self.processes.append(self._worker())
        for child in self.processes:
            supervisor.start(child)
        self._wait_until_ready(supervisor)
        if not supervisor.stop_requests:
            self.say(banner.ready(web_address(conf.HOST, conf.PORT), prepared, self._stores_lines(), time.monotonic() - started))
            if prepared and not is_loopback(conf.HOST):
                self.say(
                    "Other machines can reach this address: change the passwords of demo, alice and bob, or set DEMO_DATA=false."
                )
        supervisor.run()

    def _open_stores(self, supervisor: Supervisor) -> None:
        """Checks the stores we were given, starts the others, and fills the environment of the children."""
        # Not from `conf`, which also knows the stores of a running server: here that is an earlier one, and dead.
        given = {name: os.environ.get(name, "") for name in ("DATABASE_URL", BROKER_URLS[events_conf.EVENT_BROKER], "SECRET_KEY")}
        self.environment = os.environ | {
            "SECRET_KEY": given["SECRET_KEY"] or self.folder.secret_key(),
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "realtime_project.settings"),
            "PYTHONUNBUFFERED": "1",
            "PROMETHEUS_MULTIPROC_DIR": self._metrics_folder(),
        }
        if given["DATABASE_URL"]:
            check_database(given["DATABASE_URL"])
        if given.get("REDIS_URL"):
            check_redis(given["REDIS_URL"])
        if given.get("NATS_URL"):
            check_nats(given["NATS_URL"])
        if not given["DATABASE_URL"]:
            processes = conf.WEB_PROCESSES + 2  # and the worker, and a command typed meanwhile
            self.postgres = EmbeddedPostgres(
                self.folder.path / "postgres", connections=max(100, processes * (conf.DATABASE_POOL_SIZE + 5) + 20)
            )
            supervisor.watch(self.postgres.prepare())
            self.environment["DATABASE_URL"] = self.postgres.start()
            if self.postgres.notice:
                self.say(self.postgres.notice)
        if "REDIS_URL" in given and not given["REDIS_URL"]:
            self.valkey = EmbeddedValkey(self.folder.path / "valkey")
            supervisor.watch(self.valkey.prepare())
            self.environment["REDIS_URL"] = self.valkey.start()
        if "NATS_URL" in given and not given["NATS_URL"]:
            self.nats = EmbeddedNats(self.folder.path / "nats")
            supervisor.watch(self.nats.prepare())
            self.environment["NATS_URL"] = self.nats.start()
        running.tell(self.folder.path, {name: self.environment[name] for name in given})

    def _metrics_folder(self) -> str:
        """Where the processes put their counters, so that each can tell those of all; empty at every start."""
        folder = self.folder.path / "metrics"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServingError(f"The folder {folder} cannot be used: {reason(error)}.") from error
        return str(folder)

    def _forget_metrics(self, pid: int) -> None:
        """The gauges of a process that ended no longer count."""
        multiprocess.mark_process_dead(pid, self.environment["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]

    def _prepare_database(self, supervisor: Supervisor) -> str:
        """Runs `manage.py prepare_database`, and returns what it says about the demo data."""
        with subprocess.Popen(  # noqa: S603
            [sys.executable, str(PROJECT / "manage.py"), "prepare_database"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=dies_with_parent(15),
        ) as process:
            while process.poll() is None:
                supervisor.wait(0.5)
                if supervisor.stop_requests:
                    process.terminate()
            said = process.stdout.read() if process.stdout else ""
        if process.returncode and not supervisor.stop_requests:
            raise ServingError("The database could not be prepared: the lines above say why.")
        return said.strip()

    def _web_process(self, number: int, listener: socket.socket) -> Child:
        """A uvicorn that accepts from the socket all of them share."""
        options = [
            "--fd",
            str(listener.fileno()),
            "--app-dir",
            str(PROJECT),
            "--lifespan",
            "on",
            "--loop",
            LOOP,
            "--http",
            "httptools",
        ]
        options += ["--ws", WEBSOCKETS]
        # Requests are counted in /metrics; a line for each would hide what matters here.
        options += [
            "--no-access-log",
            "--no-server-header",
            "--log-level",
            "warning",
            "--timeout-graceful-shutdown",
            str(STREAMS_END_SECONDS),
        ]
        return Child(
            name="web" if conf.WEB_PROCESSES == 1 else f"web {number + 1}",
            argv=[sys.executable, "-m", "uvicorn", "realtime_project.asgi:application", *options],
            environment=self.environment,
            stop_seconds=WEB_STOP_SECONDS,
            descriptors=[listener.fileno()],
        )

    def _worker(self) -> Child:
        return Child(
            name="worker",
            argv=[sys.executable, str(PROJECT / "manage.py"), "procrastinate", "worker"],
            environment=self.environment,
            stop_seconds=chat_conf.GRACEFUL_SHUTDOWN_SECONDS + 5,
        )

    def _wait_until_ready(self, supervisor: Supervisor) -> None:
        """Returns when `/healthz` answers 200, or a stop is asked for.

        Raises:
            ServingError: it did not within READY_SECONDS, or a process does not stay up.
        """
        deadline = time.monotonic() + READY_SECONDS
        answer = "no answer"
        while not supervisor.stop_requests:
            supervisor.tend(starting=True)
            answer = _health()
            if answer == "200":
                return
            if time.monotonic() > deadline:
                raise ServingError(
                    f"The web process was not ready within {READY_SECONDS:g} s (/healthz: {answer}): the lines above may say why."
                )
            supervisor.wait(0.1)

    def _stores_lines(self) -> list[str]:
        lines = [f"Data      {self.folder.path}"]
        if self.postgres is not None:
            lines.append(f"Postgres  {redacted(self.postgres.url)}")
        if self.valkey is not None:
            lines.append(f"Valkey    {redacted(self.valkey.url)}")
        if self.nats is not None:
            lines.append(f"NATS      {redacted(self.nats.url)}")
        return lines

    def _stop(self, supervisor: Supervisor) -> None:
        """Web processes and worker first, then the stores they write to."""
        if any(child.pid is not None for child in self.processes):
            self.say("Stopping: open streams end, running answers get their time; Ctrl-C again ends everything at once.")
        supervisor.stop(self.processes)
        for store in (self.valkey, self.nats, self.postgres):
            if store is not None and store.child is not None:
                supervisor.stop([store.child])
        running.forget(self.folder.path)
        if self.processes:
            self.say("Stopped.")


def _health() -> str:
    """The status code of our own `/healthz`, or why there is none."""
    allowed = next(
        (name for name in conf.ALLOWED_HOSTS if re.fullmatch(r"[\w.-]+", name) and not name.startswith(".")), "localhost"
    )
    host = web_address(conf.HOST, conf.PORT).removeprefix("http://").rsplit(":", 1)[0].strip("[]")
    connection = http.client.HTTPConnection(host, conf.PORT, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": allowed})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
