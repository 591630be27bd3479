"""The open connections of this process, sockets and streams alike: told to all processes, and ended on command.

Each process keeps a board in the broker with its connections, and counts of them by user and session: one lease for
all. What changes is written in batches; the board of a process that died runs out. See `events.registry` for its
readers.
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from accounts.recent import recent_callers
from events.commands import COMMANDS, END, RECHECK
from events.conf import conf
from events.event import Event, EventId, to_json
from events.exceptions import BrokerUnavailable, Unavailable
from events.feed import KEEPALIVE, Feed
from events.hub import Hub, current_hub
from events.metrics import COMMANDS_OBEYED, DELIVERY_LAG, OPEN_CONNECTIONS, TASKS, THREADS
from events.ring import Batch

logger = logging.getLogger(__name__)

TABLES = ("connections", "sessions", "users", "process")
"""Of a board: connections by id as JSON, numbers of sockets by session and by user, and facts about the process."""

PER_LEASE = 5
"""How often a board is refreshed while its lease lasts."""

BATCH_SECONDS = 0.1
"""How long changes wait for others."""

BATCH = 1000
"""Most connections in one write."""

SHOWN_CHARS = 200

RETRY_SECONDS = 1.0
"""Pause before a broker that is away is asked again."""


STALE_COMMAND_SECONDS = 60.0
"""After a gap the stream tells all that it retains: commands older than this were obeyed, or are about connections long gone."""


@dataclass(eq=False, slots=True, kw_only=True)
class Connection:
    """One open connection of this process.

    `user_id` is empty where nobody was asked who they are; `session` is the name under which sockets are counted;
    `transport` is ws or sse; `opened_at` epoch seconds. `end(code, reason)` and `recheck()` return at once.
    """

    id: str
    user_id: str
    session: str
    path: str
    transport: str
    end: Callable[[int, str], None]
    recheck: Callable[[], None]
    opened_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.session, self.path = _shown(self.session), _shown(self.path)

    @property
    def kind(self) -> str:
        """What it is for: the word after `ws` in a socket's path, the first part of a stream's name."""
        if self.transport != "ws":
            return self.session.partition(":")[0]
        words = self.path.strip("/").split("/")
        return words[words.index("ws") + 1] if "ws" in words[:-1] else words[0]


class Connections:
    """The connections of one event loop's process."""

    def __init__(self, hub: Hub) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._hub = hub
        self._started_at = time.time()
        self._open: dict[str, Connection] = {}
        self._by_user: dict[str, dict[str, Connection]] = {}
        self._sessions: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        # What of them the board does not say yet.
        self._changed: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        self._about_due = 0.0
        self._lag_seen = (0.0, 0.0)
        self._rung = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._write_forever(), name="connections: board"),
            asyncio.create_task(self._obey_forever(), name="connections: commands"),
        ]

    def register(self, connection: Connection) -> None:
        """Adds a connection that has just opened."""
        self._open[connection.id] = connection
        self._by_user.setdefault(connection.user_id, {})[connection.id] = connection
        self._count(connection, 1)

    def unregister(self, connection: Connection) -> None:
        """Removes a connection that has ended; nothing when it is not there."""
        if self._open.pop(connection.id, None) is None:
            return
        others = self._by_user[connection.user_id]
        del others[connection.id]
        if not others:
            del self._by_user[connection.user_id]
        self._count(connection, -1)

    def _count(self, connection: Connection, change: int) -> None:
        OPEN_CONNECTIONS.labels(connection.transport, connection.kind).inc(change)
        ids, sessions, users = self._changed
        ids.add(connection.id)
        # The statistics are those of the sockets: streams come back by themselves and are many.
        if connection.transport == "ws":
            for counter, changed, name in (
                (self._sessions, sessions, connection.session),
                (self._users, users, connection.user_id),
            ):
                counter[name] += change
                changed.add(name)
                if not counter[name]:
                    del counter[name]
        self._rung.set()

    def end(self, *, connection_id: str = "", user_id: str = "", code: int, reason: str) -> None:
        """Closes one connection of this process, or all of a user."""
        found = [self._open[connection_id]] if connection_id in self._open else []
        if user_id:
            found += self._by_user.get(user_id, {}).values()
        for connection in found:
            connection.end(code, reason)

    def recheck(self, user_ids: list[str] | None = None) -> None:
        """Has the credentials behind the connections of these users looked at again, or of all."""
        recent_callers.clear()
        chosen = self._by_user.keys() if user_ids is None else user_ids
        for connection in [each for user_id in chosen for each in self._by_user.get(user_id, {}).values()]:
            connection.recheck()

    async def close(self) -> None:
        """Takes the board down: the process stops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._open.values()):
            self.unregister(connection)
        try:
            await self._hub.broker.take_down(self.process, TABLES)
        except BrokerUnavailable:
            logger.warning("The board of connections ends by itself: the broker is away.")

    async def _write_forever(self) -> None:
        """Writes what has changed, and the rest now and then."""
        whole = True
        while True:
            try:
                whole = not await self._write(whole=whole)
            except BrokerUnavailable:
                logger.warning("The board of connections waits: the broker is away.")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                logger.exception("The board of connections could not be written.")
                await asyncio.sleep(RETRY_SECONDS)
            if not whole and not any(self._changed):
                await self._pause()

    async def _pause(self) -> None:
        """Until something changes, and a moment longer, for others to come along; or until the board is due."""
        self._rung.clear()
        try:
            async with asyncio.timeout(conf.PRESENCE_SECONDS / PER_LEASE):
                await self._rung.wait()
                await asyncio.sleep(BATCH_SECONDS)
        except TimeoutError:
            return

    async def _write(self, *, whole: bool) -> bool:
        """Writes a batch of what has changed, or begins the board anew; False when it is to be begun anew."""
        if whole:
            self._about_due = 0.0
            self._changed[0].update(self._open)
            self._changed[1].update(self._sessions)
            self._changed[2].update(self._users)
        batch = [set(list(changed)[:BATCH]) for changed in self._changed]
        for changed, taken in zip(self._changed, batch, strict=True):
            changed -= taken
        ids, sessions, users = batch
        tables: dict[str, dict[str, str | None]] = {
            "connections": {each: self._note(each) for each in ids},
            "sessions": {each: _number(self._sessions[each]) for each in sessions},
            "users": {each: _number(self._users[each]) for each in users if each},
            "process": self._about(),
        }
        kept = False
        try:
            kept = await self._hub.broker.post(self.process, tables, seconds=conf.PRESENCE_SECONDS, whole=whole)
        finally:
            if not kept:
                # Values are absolute: written twice they are the same.
                for changed, taken in zip(self._changed, batch, strict=True):
                    changed |= taken
        return kept

    def _note(self, connection_id: str) -> str | None:
        """A connection as the board tells it, the time first: notes in order of their text are in order of their age."""
        connection = self._open.get(connection_id)
        if connection is None:
            return None
        return to_json(
            {
                "opened_at": round(connection.opened_at * 1000),
                "id": connection.id,
                "user_id": connection.user_id,
                "session": connection.session,
                "path": connection.path,
                "transport": connection.transport,
            }
        )

    def _about(self) -> dict[str, str | None]:
        """Facts about this process, at most once a second: counting takes its time."""
        if time.monotonic() < self._about_due:
            return {}
        self._about_due = time.monotonic() + 1
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        TASKS.set(tasks)
        THREADS.set(threads)
        numbers = {"connections": len(self._open), "streams": len(self._hub.rings), "tasks": tasks, "threads": threads}
        return {"about": to_json({"started_at": round(self._started_at * 1000), "lag": self._lag()} | numbers)}

    def _lag(self) -> float | None:
        """How late events arrived here since this was last asked, on average and in seconds; None when none did."""
        samples = {sample.name: sample.value for metric in DELIVERY_LAG.collect() for sample in metric.samples}
        before, self._lag_seen = (
            self._lag_seen,
            (samples["throughline_delivery_lag_seconds_sum"], samples["throughline_delivery_lag_seconds_count"]),
        )
        count = self._lag_seen[1] - before[1]
        return round((self._lag_seen[0] - before[0]) / count, 6) if count > 0 else None

    async def _obey_forever(self) -> None:
        """Follows the commands from now on."""
        while not self._hub.closing:
            try:
                head = (await self._hub.log.heads([COMMANDS]))[COMMANDS].id
                await self._obey_from(head)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("Commands could not be followed.")
                await asyncio.sleep(RETRY_SECONDS)

    async def _obey_from(self, head: EventId) -> None:
        async with Feed(hub=self._hub, stream=COMMANDS, cursor=head) as feed:
            while (batch := await feed.next()) is not None:
                if batch is not KEEPALIVE:
                    self._obey(batch)

    def _obey(self, batch: Batch) -> None:
        if batch.reason:
            # Commands may be missing: who lost what let them in is found out by looking at everybody.
            self.recheck()
        oldest = (time.time() - STALE_COMMAND_SECONDS) * 1000
        for event in batch.events:
            if not batch.reason or event.at >= oldest:
                self._do(event)

    def _do(self, event: Event) -> None:
        data = event.data
        COMMANDS_OBEYED.labels(event.type).inc()
        if event.type == END.name:
            self.end(
                connection_id=data.get("connection_id", ""),
                user_id=data.get("user_id", ""),
                code=data["code"],
                reason=data["reason"],
            )
        elif event.type == RECHECK.name:
            self.recheck(data["user_ids"])


def _shown(text: str) -> str:
    """What a client has put into an address, bounded, and of characters that the broker can hold."""
    return text[:SHOWN_CHARS].encode("utf-8", "replace").decode()


def _number(count: int) -> str | None:
    return str(count) if count else None


def current_connections() -> Connections:
    """The connections of the running event loop, started at its first use; they end with the hub."""
    return current_hub().part(Connections)
