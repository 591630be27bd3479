"""Redis Cluster: each key at the server that holds its slot, all servers asked at the same time.

Nothing of redis-py's own client for clusters is used: after a lost connection it asks again (a publication would be there
twice), or goes on asking servers that are gone.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from redis.exceptions import RedisError

from events.broker.base import DoorbellListener
from events.broker.redis_server import RedisDoorbells, RedisServer, reaching_redis
from events.broker.redis_slots import Command, Plan, Slots
from events.exceptions import BrokerUnavailable
from events.streams import Stream

LOOK_SECONDS = 1.5
"""How long one server may take to say where the slots are: then the next one is asked."""

ROUNDS = 5
"""How often a command is sent to where it is said to belong."""

LOOK: Command = ("", ("CLUSTER", "SLOTS"))

ChannelOf = Callable[[str], str]


class RedisCluster:
    """As `RedisServer`, for a cluster of which one server is at the URL (or several, by a name that stands for all)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._first = urlsplit(url).netloc.rpartition("@")[2]
        self._servers: dict[str, RedisServer] = {}
        self._slots: Slots | None = None
        self._looking = asyncio.Lock()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """As `RedisServer.ask`: one round trip to each server, and another one for what has moved."""
        plan = Plan(commands)
        for _ in range(ROUNDS):
            slots = await self.slots()
            with self._forgetting(slots):
                parts = plan.parts(slots)
                plan.enter(await asyncio.gather(*(self.server(address).ask(part) for address, part in parts.items())))
            if not plan.waiting:
                break
            if plan.has_moved:
                self._forget(slots)
        return plan.answers

    def ask_now(self, commands: Sequence[Command]) -> list[Any]:
        """`ask` for synchronous code; the servers are asked in turn."""
        plan = Plan(commands)
        for _ in range(ROUNDS):
            slots = self._slots = self._slots or self._look_now()
            with self._forgetting(slots):
                parts = plan.parts(slots)
                plan.enter([self.server(address).ask_now(part) for address, part in parts.items()])
            if not plan.waiting:
                break
            if plan.has_moved:
                self._forget(slots)
        return plan.answers

    async def ask_all(self, *words: Any) -> list[Any]:
        """The answer of every server that holds keys. Raises redis-py's errors."""
        slots = await self.slots()
        with self._forgetting(slots):
            return [answer for address in slots.addresses for answer in await self.server(address).ask_all(*words)]

    @contextlib.asynccontextmanager
    async def doorbells(self, channel_of: ChannelOf) -> AsyncIterator["ClusterDoorbells"]:
        """A listener with a connection of its own to each server that it needs."""
        async with contextlib.AsyncExitStack() as opened:
            with reaching_redis():
                slots = await self.slots()
            listener = ClusterDoorbells(self, slots, channel_of, opened)
            try:
                yield listener
            finally:
                # It ends when a server is gone, or a slot elsewhere: who listens again is to know.
                self._forget(slots)
                await listener.close()

    async def slots(self) -> Slots:
        """Where they are, as far as is known. Many ask at the same time; one of them looks."""
        async with self._looking:
            self._slots = self._slots or await self._look()
            return self._slots

    def server(self, address: str) -> RedisServer:
        """The one at an address, with the rest of our URL."""
        if address not in self._servers:
            parts = urlsplit(self._url)
            login = "".join(parts.netloc.rpartition("@")[:2])
            self._servers[address] = RedisServer(urlunsplit(parts._replace(netloc=login + address)))
        return self._servers[address]

    async def close(self) -> None:
        """Lets go of connections."""
        for server in self._servers.values():
            await server.close()

    @contextlib.contextmanager
    def _forgetting(self, slots: Slots) -> Any:
        """After a failure looks anew where the slots are."""
        try:
            yield
        except BaseException:
            # Cancelled, too: who waits for a server that is frozen is. Next time the others say who stands in for it.
            self._forget(slots)
            raise

    def _forget(self, slots: Slots) -> None:
        if self._slots is slots:
            self._slots = None

    async def _look(self) -> Slots:
        error: Exception | None = None
        for address in self._to_ask():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    [told] = await self.server(address).ask([LOOK])
                slots = _slots(told, address)
            except (RedisError, OSError, TimeoutError) as failed:
                error = failed
                continue
            for gone in self._servers.keys() - {self._first, *slots.addresses}:
                await self._servers.pop(gone).close()
            return slots
        raise BrokerUnavailable from error

    def _look_now(self) -> Slots:
        error: Exception | None = None
        for address in self._to_ask():
            try:
                [told] = self.server(address).ask_now([LOOK])
                return _slots(told, address)
            except (RedisError, OSError, TimeoutError) as failed:
                error = failed
        raise BrokerUnavailable from error

    def _to_ask(self) -> list[str]:
        """Who may know where the slots are, in any order: one that is gone is not always asked first."""
        known = [*{self._first, *self._servers}]
        return random.sample(known, len(known))


class ClusterDoorbells(DoorbellListener):
    """Doorbells of several servers as one. It ends when one of them does: then it is to be seen anew who has what."""

    def __init__(self, cluster: RedisCluster, slots: Slots, channel_of: ChannelOf, opened: contextlib.AsyncExitStack) -> None:
        self._cluster = cluster
        self._slots = slots
        self._channel_of = channel_of
        self._opened = opened
        self._opening = asyncio.Lock()
        self._listeners: dict[str, RedisDoorbells] = {}
        self._hearing: dict[str, asyncio.Task[None]] = {}
        # None: one of them has ended.
        self._rang: asyncio.Queue[str | None] = asyncio.Queue()
        self._error: BrokerUnavailable | None = None

    async def add(self, stream: Stream) -> None:
        """Listens at the server that holds the stream."""
        address = self._address_of(stream)
        async with self._opening:
            if address not in self._listeners:
                server = self._cluster.server(address)
                self._listeners[address] = await self._opened.enter_async_context(server.doorbells(self._channel_of))
        await self._listeners[address].add(stream)
        if address not in self._hearing:
            # Not before: redis-py reads only on a connection that has been subscribed once.
            self._hearing[address] = asyncio.create_task(self._hear(self._listeners[address]), name="redis doorbells")

    async def remove(self, stream: Stream) -> None:
        """Listens there no more."""
        listener = self._listeners.get(self._address_of(stream))
        if listener is not None:
            await listener.remove(stream)

    async def __aiter__(self) -> AsyncIterator[str]:
        while name := await self._rang.get():
            yield name
        raise BrokerUnavailable from self._error

    async def close(self) -> None:
        """Ends hearing; the connections are those of the stack it was given."""
        for task in self._hearing.values():
            task.cancel()
        await asyncio.gather(*self._hearing.values(), return_exceptions=True)

    def _address_of(self, stream: Stream) -> str:
        return self._slots.address_of(self._channel_of(stream.name))

    async def _hear(self, listener: RedisDoorbells) -> None:
        try:
            async for name in listener:
                self._rang.put_nowait(name)
        except BrokerUnavailable as error:
            self._error = error
            self._rang.put_nowait(None)


def _slots(told: Any, address: str) -> Slots:
    """Raises what a server answered instead: it may be no part of a cluster."""
    if isinstance(told, Exception):
        raise told
    if not told:
        raise RedisError(f"the cluster at {address} has no slots yet")
    return Slots(told, address)
