"""One server of Redis: what is asked together travels together, and nothing is ever sent twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import redis
import redis.asyncio
import redis.retry
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from events.broker.base import DoorbellListener
from events.broker.gathering import Gathering
from events.broker.redis_slots import Command
from events.exceptions import BrokerUnavailable
from events.streams import Stream

COMMAND_SECONDS = 5.0
"""Longest wait for one round trip. `asyncio.timeout`, not redis-py's socket_timeout: that one swallows cancellations on 3.11."""

NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""With them (their default) redis-py 8 hands out idle connections that the server has closed: one error each after an outage."""


@contextlib.contextmanager
def reaching_redis() -> Iterator[None]:
    """Raises `BrokerUnavailable` for whatever goes wrong on the way to Redis, and for its own errors."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise BrokerUnavailable from error


@contextlib.asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """`reaching_redis`, and for no longer than COMMAND_SECONDS."""
    with reaching_redis():
        async with asyncio.timeout(COMMAND_SECONDS):
            yield


class RedisDoorbells(DoorbellListener):
    """Doorbells over one pub/sub connection: sharded pub/sub, which a cluster does not send to all of its servers.

    Commands are sent as they are: redis-py's `ssubscribe` would remember every stream ever watched.
    """

    def __init__(self, pubsub: Any, channel_of: Callable[[str], str]) -> None:
        self._pubsub = pubsub
        self._channel_of = channel_of
        self._leaving: Counter[bytes] = Counter()

    async def add(self, stream: Stream) -> None:
        """Sends SSUBSCRIBE; its confirmation is handed out as a ring."""
        with reaching_redis():
            await self._pubsub.execute_command("SSUBSCRIBE", self._channel_of(stream.name))

    async def remove(self, stream: Stream) -> None:
        """Sends SUNSUBSCRIBE."""
        channel = self._channel_of(stream.name)
        self._leaving[channel.encode()] += 1
        with reaching_redis():
            await self._pubsub.execute_command("SUNSUBSCRIBE", channel)

    async def __aiter__(self) -> AsyncIterator[str]:
        # "prefix:{name}": the braces are the hash tag.
        before = len(self._channel_of("")) - 1
        with reaching_redis():
            while True:
                message = await self._pubsub.parse_response(block=True)
                if message and message[0] in (b"ssubscribe", b"smessage"):
                    yield message[1][before:-1].decode()
                elif message and message[0] == b"sunsubscribe" and message[1] is not None:
                    self._left(message[1])

    def _left(self, channel: bytes) -> None:
        if not self._leaving[channel]:
            raise BrokerUnavailable from RuntimeError("a slot has moved to another server of the cluster")
        self._leaving[channel] -= 1
        # A Counter keeps what it counts none of.
        self._leaving += Counter()


class RedisServer:
    """The Redis 7 or Valkey at a URL. For one event loop; what ends in `_now` may be used from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        # TCP keep-alive, so that a broker that vanished without a word is noticed; unix sockets know no such thing.
        self._keep_alive: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=16,
            timeout=COMMAND_SECONDS,
            socket_timeout=None,
            socket_connect_timeout=None,
            **self._keep_alive,
            # Sent again after a lost answer, a publication would be there twice. The pool itself replaces dead idle connections.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=NO_NOTIFICATIONS,
        )
        self._redis = redis.asyncio.Redis(connection_pool=pool)
        self._gathering = Gathering(self._send)
        self._blocking: redis.Redis | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, in one round trip; the server's errors are among them. Raises redis-py's errors of the connection."""
        return await self._gathering.ask(commands)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        async with asyncio.timeout(COMMAND_SECONDS), self._redis.pipeline(transaction=False) as pipe:
            for _, words in commands:
                pipe.execute_command(*words)
            return list(await pipe.execute(raise_on_error=False))

    def ask_now(self, commands: Sequence[Command]) -> list[Any]:
        """`ask` for synchronous code."""
        with self._blocking_client().pipeline(transaction=False) as pipe:
            for _, words in commands:
                pipe.execute_command(*words)  # type: ignore[no-untyped-call]
            return list(pipe.execute(raise_on_error=False))

    async def ask_all(self, *words: Any) -> list[Any]:
        """The answer of every server that holds keys, here one. Raises redis-py's errors."""
        return [await self._redis.execute_command(*words)]  # type: ignore[no-untyped-call]

    @contextlib.asynccontextmanager
    async def doorbells(self, channel_of: Callable[[str], str]) -> AsyncIterator[RedisDoorbells]:
        """A listener on its own connection, without redis-py's silent reconnects: what rang meanwhile must be read."""
        client = redis.asyncio.Redis.from_url(
            self._url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0), **self._keep_alive
        )
        try:
            pubsub: Any = client.pubsub()
            async with in_time():
                await pubsub.connect()
            yield RedisDoorbells(pubsub, channel_of)
        finally:
            await client.aclose(close_connection_pool=True)

    def _blocking_client(self) -> redis.Redis:
        if self._blocking is None:
            self._blocking = redis.Redis.from_url(
                self._url,
                socket_timeout=COMMAND_SECONDS,
                retry=redis.retry.Retry(NoBackoff(), 0),
                maint_notifications_config=NO_NOTIFICATIONS,
                **self._keep_alive,
            )
        return self._blocking

    async def close(self) -> None:
        """Lets go of connections."""
        self._gathering.close()
        await self._redis.aclose(close_connection_pool=True)
        if self._blocking is not None:
            self._blocking.close()
