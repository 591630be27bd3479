"""The product itself, as it is run in production: uvicorn, and a worker apart."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from benchmarks.processes import DATA, BenchmarkError, Process, python
from benchmarks.stores import Stores
from benchmarks.systems import System, run
from realtime_project.serving.server import LOOP, WEBSOCKETS

SECRET = "a-benchmark-needs-no-secret-but-one-long-enough"


class Throughline(System):
    """The user feed of one user, who has any number of readers."""

    title = "Throughline"
    application = "realtime_project.asgi:application"
    publisher = "benchmarks.peers.throughline.publish"
    path = "/api/events"
    idle_readers = 5000
    options = ("--loop", LOOP, "--ws", WEBSOCKETS)
    answers: ClassVar[bool] = True
    catch_up_header = "Last-Event-ID: 0"
    token = ""
    user = ""
    organization = ""

    def prepare(self, stores: Stores) -> None:
        run(python("manage.py", "migrate", "--verbosity", "0"), "The product's tables cannot be made", self.environment(stores))
        made = run(python("-m", "benchmarks.peers.throughline.account"), "No account could be made", self.environment(stores))
        account = json.loads(made.splitlines()[-1])
        self.token, self.user, self.organization = account["token"], account["user"], account["organization"]

    def environment(self, stores: Stores, *, replay: bool = False) -> dict[str, str]:
        return super().environment(stores, replay=replay) | {
            "DJANGO_SETTINGS_MODULE": "realtime_project.settings",
            "SECRET_KEY": SECRET,
            "LOG_LEVEL": "WARNING",
            "ACCESS_TOKEN_MINUTES": "600",
            "SSE_MAX_CONCURRENT_PER_USER": "0",
            "EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW": "0",
            "EVENTS_REPLAY_MAX_PER_REQUEST": "1000",
            "CHAT_ENGINE": "scripted",
            "CHAT_RUNNING_PER_USER": "0",
            "RUN_CONCURRENCY": "320",
            "BENCH_USER": self.user,
            "BENCH_ORGANIZATION": self.organization,
        }

    def headers(self) -> list[str]:
        return [f"Authorization: Bearer {self.token}"]

    def asking(self, patterns: Sequence[Sequence[str]]) -> dict[str, Any]:
        """How readers subscribe to topics, each to its own patterns: arguments of `Readers`."""
        lines = (f"/api/topics?{urlencode([('topic', each) for each in own], safe='*')}" for own in patterns)
        return {"paths": lines_in("topics.paths", lines)}

    def followers(self, port: int, count: int) -> list[str]:
        url = f"http://127.0.0.1:{port}{self.path}"
        return python("-m", "benchmarks.followers.event_source", url, str(count), "backlog.truncated", *self.headers())

    @contextlib.contextmanager
    def work(self, stores: Stores, *, cores: tuple[int, ...]) -> Iterator[Process]:
        """A worker, which drives the runs."""
        command = python("manage.py", "procrastinate", "worker")
        with Process("worker", command, environment=self.environment(stores), cores=cores) as worker:
            settle_worker(worker)
            yield worker


class ThroughlineSockets(Throughline):
    """The same over WebSockets, one for each reader, as `manage.py serve` serves them."""

    title = "Throughline (WebSocket)"
    application = "benchmarks.peers.throughline.sockets:application"
    path = "/ws/feed"
    websocket = True
    answers: ClassVar[bool] = False
    catch_up_header = None
    followed = "benchmarks.peers.throughline.publish_topics"
    scenarios = ("socket-fan-out", "drop", "topic-load")

    def environment(self, stores: Stores, *, replay: bool = False) -> dict[str, str]:
        return super().environment(stores, replay=replay) | {"SOCKETS_PER_USER": "0"}

    def asking(self, patterns: Sequence[Sequence[str]]) -> dict[str, Any]:
        frames = (json.dumps({"action": "subscribe", "topics": own}) for own in patterns)
        return {"path": "/ws/events", "frames": lines_in("topics.frames", frames)}

    def followers(self, port: int, count: int) -> list[str]:
        url, topic = f"ws://127.0.0.1:{port}/ws/events?token={self.token}", f"events.{self.organization}.bench.*.*.*"
        return python("-m", "benchmarks.followers.sockets", url, str(count), topic)


def lines_in(name: str, lines: Iterable[str]) -> Path:
    """A file of the benchmarks with these lines."""
    path = DATA / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def settle_worker(worker: Process) -> None:
    """Raises BenchmarkError if the worker ends at once; else it will take jobs as soon as it is ready."""
    with contextlib.suppress(TimeoutError, OSError):
        if worker.popen.poll() is not None:
            raise BenchmarkError(f"The worker ended. Its last words:\n{worker.last_words()}")
