"""The whole product on one machine: nginx, two web processes, two workers, Postgres, a broker - and a line between any two.

Clients speak to `fronts`: a line to each web process, and nginx before both lines where it is installed. Each process has a
line of its own to either store, so that one can lose a store which the others still have. What dies is started again, as a
supervisor would; what a fault holds down stays down until it lets go.
"""

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import redis

from events.event import pack
from realtime_project.serving.process import Child
from realtime_project.serving.valkey import EmbeddedValkey
from tests.faults.ledger import Ledger
from tests.faults.nginx import Nginx
from tests.live.processes import BROKER, MANAGE, Stack
from tests.patience import patiently
from tests.proxies import Proxy, through
from tests.wiping import wipe_nats_now

SETTINGS = {
    "RUN_LEASE_SECONDS": "8",
    "WORKSPACE_EVENTS_MAX_PER_MINUTE": "0",
    "USAGE_TIER": "unlimited",
    "SOCKET_PING_SECONDS": "5",
    "SOCKET_PONG_SECONDS": "10",
}
START_SECONDS = 300.0
BACK_SECONDS = 180.0
"""How long a process may take to come back: on a busy machine very long, and time is no finding."""
ALL = "tl:{{{kind}:*}}"
BACKLOGS = ("user", "org", "workspace")


class Topology(Stack):
    """As `Stack`, with lines that can be cut. `ledger` hears of what makes the broker forget."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(settings=SETTINGS)
        self.ledger = ledger
        self.lines: dict[str, Proxy] = {}
        self.processes: dict[str, Child] = {}
        self.fronts: list[str] = []
        self.exits: Counter[str] = Counter()
        """Processes that ended though nobody had told them to."""
        self.without_nginx = ""
        """Why there is no nginx, where there is none."""
        self._open = ExitStack()
        self._held: set[str] = set()
        self._supervising: asyncio.Task[None] | None = None
        self._replica: EmbeddedValkey | None = None
        if BROKER != "nats":
            # Durable and synced at every write: what it has accepted survives SIGKILL.
            self.hot = self.valkey = EmbeddedValkey(self.folder / "valkey")
            self._replica = EmbeddedValkey(self.folder / "replica")

    def start(self) -> None:
        """Starts everything and waits until it is ready."""
        database, hot = self.postgres.start(), self.hot.start()
        name = f"{BROKER.upper()}_URL"
        self.environment |= {"DATABASE_URL": database, "REDIS_URL": "", "NATS_URL": "", name: hot}
        if BROKER != "nats":
            self._start_replica()
        prepare = self._child("prepare", [MANAGE, "prepare_database"])
        prepare.start()
        assert prepare.wait(START_SECONDS), "the database is not prepared"
        assert prepare.exit_code == 0, self.logs()
        for number in (1, 2):
            self.processes[f"web-{number}"] = self.start_web(**self._stores(f"web-{number}", database, name, hot))
            self.processes[f"worker-{number}"] = self.start_worker(**self._stores(f"worker-{number}", database, name, hot))
        self.wait_whole()
        self.fronts = [self._through(f"clients web-{number}", url) for number, url in enumerate(self.addresses, 1)]
        self._start_nginx()
        self._supervising = asyncio.get_running_loop().create_task(self._supervise())

    def _stores(self, process: str, database: str, name: str, hot: str) -> dict[str, str]:
        return {"DATABASE_URL": self._through(f"{process} database", database), name: self._through(f"{process} broker", hot)}

    def _through(self, name: str, url: str) -> str:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.lines[name] = self._open.enter_context(Proxy(parts.hostname, parts.port))
        return through(self.lines[name], url)

    def _start_nginx(self) -> None:
        path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if path is None:
            self.without_nginx = "nginx is not installed"
            return
        self.fronts.append(self._open.enter_context(Nginx(path, self.folder / "nginx", self.fronts)))

    async def end(self) -> None:
        """Ends everything and removes its data."""
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        if self._replica is not None:
            self._replica.stop()
        self.stop()
        self._open.close()

    # Supervision.

    async def _supervise(self) -> None:
        while True:
            for name, child in self.processes.items():
                if name not in self._held and child.pid is None:
                    self.exits[name] += 1
                    child.start()
            await asyncio.sleep(0.3)

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """A process that a fault ends; it is started again afterwards."""
        self._held.add(name)
        try:
            yield
            child = self.processes[name]
            if child.pid is None:
                child.start()
        finally:
            self._held.discard(name)

    async def restart_gently(self, name: str) -> None:
        """SIGTERM, then a new process; returns when it is ready. A worker that does not end in time is killed."""
        child = self.processes[name]
        with self.held(name):
            child.ask_to_stop()
            await asyncio.to_thread(child.wait, patiently(20.0))
            child.kill()
        await asyncio.to_thread(self.wait_whole)

    def wait_whole(self) -> None:
        """Returns when all web processes are ready, and workers have given signs of life; raises AssertionError."""
        deadline = time.monotonic() + patiently(BACK_SECONDS)
        while True:
            try:
                self.wait_ready()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def has_orphans(self) -> bool:
        """Whether a worker of a running answer is dead: until that is ended, its last words are in the broker alone."""
        pids = [f"-{child.pid}-" for name, child in self.processes.items() if name.startswith("worker") and child.pid]
        rows = self.query("SELECT worker FROM chat_run WHERE status = 'running'")
        return any(not any(pid in (worker or "") for pid in pids) for (worker,) in rows)

    # Breaking the broker.

    async def start_broker(self) -> None:
        """Starts it again on what it has on disk."""
        await super().start_broker()
        if self._replica is not None:
            await asyncio.to_thread(self._follow)

    def remove_broker_data(self) -> None:
        """What it had on disk; it does not run."""
        for each in (self.hot.home / "data").iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()

    async def flush_broker(self) -> None:
        """Everything it has."""
        if BROKER == "nats":
            await asyncio.to_thread(wipe_nats_now, self.nats.url)
        else:
            await self.on_valkey("flush")

    async def on_valkey(self, what: str) -> None:
        """Something that is said to the Valkey itself, on the side."""
        await asyncio.to_thread(_ON_VALKEY[what], self.valkey.url)

    def _start_replica(self) -> None:
        assert self._replica is not None
        self._replica.home.mkdir(mode=0o700, exist_ok=True)
        password = self._replica.home / "password"
        password.write_text((self.valkey.home / "password").read_text())
        self._replica.start()
        self._follow()

    def _follow(self) -> None:
        """Has the replica follow the primary."""
        assert self._replica is not None
        parts = urlsplit(self.valkey.url)
        with redis.Redis.from_url(self.valkey.url) as primary, redis.Redis.from_url(self._replica.url) as replica:
            primary.config_set("appendfsync", "always")
            replica.config_set("masterauth", str(parts.password))
            replica.replicaof(str(parts.hostname), str(parts.port))
            deadline = time.monotonic() + patiently(30.0)
            while replica.info("replication").get("master_link_status") != "up":
                assert time.monotonic() < deadline, "the replica does not follow"
                time.sleep(0.05)

    async def fail_over(self, seconds: float) -> None:
        """SIGKILL to the primary; after a while the replica is the primary, and an empty new one follows it."""
        assert self._replica is not None
        old, new = self.valkey, self._replica
        old.child.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._promote, old, new)

    def _promote(self, old: EmbeddedValkey, new: EmbeddedValkey) -> None:
        with redis.Redis.from_url(new.url) as client:
            client.replicaof("NO", "ONE")
            client.config_set("appendfsync", "always")
            self._note_unreplicated(client)
        parts = urlsplit(new.url)
        for name, line in self.lines.items():
            if name.endswith(" broker"):
                line.lead_to(str(parts.hostname), int(parts.port or 0))
        self.hot = self.valkey = new
        self._replica = old
        for each in (old.home / "data").iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        old.start()
        self._follow()

    def _note_unreplicated(self, client: redis.Redis) -> None:
        """What the old primary had accepted and the new one does not have."""
        ledger = self.ledger
        since = max((wipe.end for wipe in ledger.wipes[:-1]), default=0.0)
        for each in ledger.publications:
            if each.id and each.asked_at > since and not client.xrange(f"tl:{{{each.stream}}}", each.id, each.id):
                ledger.unreplicated.add((each.stream, each.publisher, each.n))


def _flush(client: redis.Redis) -> None:
    client.flushall()


def _trim(client: redis.Redis) -> None:
    for key in _backlogs(client):
        client.xtrim(key, maxlen=3, approximate=False)


def _kill_doorbells(client: redis.Redis) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def _fill(client: redis.Redis) -> None:
    client.config_set("maxmemory", "1mb")


def _empty(client: redis.Redis) -> None:
    client.config_set("maxmemory", "0")


def _jump(client: redis.Redis) -> None:
    for key in _backlogs(client):
        ms = int(client.xinfo_stream(key)["last-generated-id"].split(b"-")[0]) + 60_000
        client.xadd(key, {"e": pack("clock.jumped", {"payload": {}}, int(time.time() * 1000))}, id=f"{ms}-0")


def _backlogs(client: redis.Redis) -> list[bytes]:
    keys = [key for kind in BACKLOGS for key in client.scan_iter(match=f"tl:{{{kind}:*}}", _type="stream")]
    return [key for key in keys if key.endswith(b"}")]


def _said(what: Any) -> Any:
    def say(url: str) -> None:
        with redis.Redis.from_url(url) as client:
            what(client)

    return say


_ON_VALKEY = {
    name: _said(what)
    for name, what in {
        "flush": _flush,
        "trim": _trim,
        "kill_doorbells": _kill_doorbells,
        "fill": _fill,
        "empty": _empty,
        "jump": _jump,
    }.items()
}
