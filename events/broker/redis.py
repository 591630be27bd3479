"""The broker on Redis 7 or Valkey: one Redis Stream per stream, append and doorbell in one script."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis
import redis.asyncio
import redis.retry
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from events.broker.base import Appended, BrokerFacts, DoorbellListener, DurableAppend, OnceAppend, Reading
from events.broker.leases import RedisLeases
from events.broker.readings import backlog_reading, durable_reading, facts_of, parse_id
from events.broker.scripts import (
    APPEND,
    APPEND_DURABLE,
    APPEND_ONCE,
    FENCE,
    HASHES,
    HEAD,
    READ,
    READ_DURABLE,
    SEED,
    SEED_SHORT,
    Call,
)
from events.conf import conf
from events.event import Event, EventId, pack
from events.exceptions import BrokerUnavailable
from events.streams import Stream

COMMAND_SECONDS = 5.0
"""Longest wait for one round trip. `asyncio.timeout`, not redis-py's socket_timeout: that one swallows cancellations on 3.11."""

SEED_CHUNK = 1000

IDLE_SECONDS = 24 * 3600
"""How long a durable stream that nobody writes to stays in the broker, should its end never come here: the journal has it."""

NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""With them (their default) redis-py 8 hands out idle connections that the server has closed: one error each after an outage."""


def _keep_alive(url: str) -> dict[str, Any]:
    """TCP keep-alive, so that a broker that vanished without a word is noticed; unix sockets know no such thing."""
    return {} if url.startswith("unix:") else {"socket_keepalive": True}


def _queue(pipe: Any, calls: Sequence[Call]) -> None:
    for script, keys, args in calls:
        pipe.evalsha(HASHES[script], len(keys), *keys, *args)


def _forgotten(answers: list[Any]) -> list[int]:
    """Which calls did not run because the broker does not know their script."""
    return [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


@contextmanager
def _reaching_redis() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise BrokerUnavailable from error


class RedisDoorbells(DoorbellListener):
    """Doorbells over one pub/sub connection.

    Commands are sent as they are: redis-py's `subscribe` would remember every stream ever watched.
    """

    def __init__(self, pubsub: Any, channel_of: Any) -> None:
        self._pubsub = pubsub
        self._channel_of = channel_of

    async def add(self, stream: Stream) -> None:
        """Sends SUBSCRIBE; its confirmation is handed out as a ring."""
        with _reaching_redis():
            await self._pubsub.execute_command("SUBSCRIBE", self._channel_of(stream.name))

    async def remove(self, stream: Stream) -> None:
        """Sends UNSUBSCRIBE."""
        with _reaching_redis():
            await self._pubsub.execute_command("UNSUBSCRIBE", self._channel_of(stream.name))

    async def __aiter__(self) -> AsyncIterator[str]:
        prefix = len(self._channel_of(""))
        with _reaching_redis():
            while True:
                message = await self._pubsub.parse_response(block=True)
                if message and message[0] in (b"subscribe", b"message"):
                    yield message[1].decode()[prefix:]


class RedisBroker(RedisLeases):
    """The broker on Redis 7 or Valkey, at a URL. One per event loop; `append_now` may be used from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=16,
            timeout=COMMAND_SECONDS,
            socket_timeout=None,
            socket_connect_timeout=None,
            **_keep_alive(url),
            # Sent again after a lost answer, a publication would be there twice. The pool itself replaces dead idle connections.
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=NO_NOTIFICATIONS,
        )
        self._redis = redis.asyncio.Redis(connection_pool=pool)
        self._blocking: redis.Redis | None = None

    # The braces keep a stream's keys in one slot of a Redis Cluster.
    def _key(self, stream: Stream) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:{{{stream.name}}}"

    def _keys(self, stream: Stream) -> list[str]:
        return [self._key(stream), f"{self._key(stream)}:meta"]

    def _channel(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:bell:{name}"

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """The answers of scripts, all sent in one round trip."""
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                answers = await self._execute(calls)
                forgotten = _forgotten(answers)
                if forgotten:
                    for script in {calls[number][0] for number in forgotten}:
                        await self._redis.script_load(script)
                    again = await self._execute([calls[number] for number in forgotten])
                    for number, answer in zip(forgotten, again, strict=True):
                        answers[number] = answer
                return _checked(answers)

    async def _execute(self, calls: Sequence[Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            _queue(pipe, calls)
            return list(await pipe.execute(raise_on_error=False))

    def _run_now(self, calls: Sequence[Call]) -> list[Any]:
        """`_run` for synchronous code."""
        with _reaching_redis():
            answers = self._execute_now(calls)
            forgotten = _forgotten(answers)
            if forgotten:
                for script in {calls[number][0] for number in forgotten}:
                    self._blocking_client().script_load(script)
                again = self._execute_now([calls[number] for number in forgotten])
                for number, answer in zip(forgotten, again, strict=True):
                    answers[number] = answer
            return _checked(answers)

    def _execute_now(self, calls: Sequence[Call]) -> list[Any]:
        with self._blocking_client().pipeline(transaction=False) as pipe:
            _queue(pipe, calls)
            return list(pipe.execute(raise_on_error=False))

    async def append_durable(self, appends: Sequence[DurableAppend]) -> list[Appended]:
        """See `BaseBroker`. Sent again after an unknown outcome, it adds only what is not yet there."""
        return [Appended(answer.decode()) for answer in await self._run([self._durable_call(each) for each in appends])]

    def append_durable_now(self, append: DurableAppend) -> Appended:
        """See `BaseBroker`."""
        fence: Call = (FENCE, self._keys(append.stream), [append.lease, IDLE_SECONDS])
        _, answer = self._run_now([fence, self._durable_call(append)])
        return Appended(answer.decode())

    def _durable_call(self, append: DurableAppend) -> Call:
        args = [
            self._channel(append.stream.name),
            append.stream.name,
            append.lease,
            append.events[0].id.major,
            conf.EVENTS_HOT_SECONDS if append.ended else IDLE_SECONDS,
            *(pack(event.type, event.data, event.at) for event in append.events),
        ]
        return APPEND_DURABLE, self._keys(append.stream), args

    async def fence(self, stream: Stream, lease: int) -> EventId | None:
        """See `BaseBroker`."""
        [head] = await self._run([(FENCE, self._keys(stream), [lease, IDLE_SECONDS])])
        return None if head < 0 else EventId(head, 0)

    async def seed(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker`. A long one is prepared in a second key and renamed, so that no reader sees half of it."""
        if 0 < len(events) <= SEED_CHUNK:
            [answer] = await self._run([self._seed_call(stream, lease, events)])
            return Appended(answer.decode())
        prepared = f"{self._key(stream)}:seed:{lease}"
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS * 4):
                await self._redis.delete(prepared)
                for start in range(0, len(events), SEED_CHUNK):
                    async with self._redis.pipeline(transaction=False) as pipe:
                        for event in events[start : start + SEED_CHUNK]:
                            pipe.xadd(prepared, {"e": pack(event.type, event.data, event.at)}, id=str(event.id))
                        await pipe.execute()
                await self._redis.expire(prepared, 60)
        if not events:
            return Appended.OK
        head = events[-1].id.major
        args = [self._channel(stream.name), stream.name, lease, head]
        [answer] = await self._run([(SEED, [*self._keys(stream), prepared], args)])
        with _reaching_redis():
            await self._redis.expire(self._key(stream), IDLE_SECONDS)
        return Appended(answer.decode())

    def seed_now(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker`. What is too long for one step is appended piece by piece."""
        pieces = [events[start : start + SEED_CHUNK] for start in range(SEED_CHUNK, len(events), SEED_CHUNK)]
        first = self._seed_call(stream, lease, events[:SEED_CHUNK])
        answers = self._run_now([first, *(self._durable_call(DurableAppend(stream, lease, piece)) for piece in pieces)])
        return Appended(answers[-1].decode())

    def _seed_call(self, stream: Stream, lease: int, events: Sequence[Event]) -> Call:
        packed = (pack(event.type, event.data, event.at) for event in events)
        return SEED_SHORT, self._keys(stream), [self._channel(stream.name), stream.name, lease, *packed]

    def _append_calls(self, items: Sequence[tuple[Stream, str]]) -> dict[Stream, Call]:
        """One call for each stream, so that its events keep their order whatever happens to the other calls."""
        seconds = int(conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600)
        calls: dict[Stream, Call] = {}
        for stream, packed in items:
            if stream not in calls:
                args = [self._channel(stream.name), stream.name, conf.EVENTS_STREAM_MAXLEN, seconds]
                calls[stream] = (APPEND, [self._key(stream)], args)
            calls[stream][2].append(packed)
        return calls

    async def append(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        calls = self._append_calls(items)
        return _ids_of(items, calls, await self._run(list(calls.values())))

    def append_now(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        calls = self._append_calls(items)
        return _ids_of(items, calls, self._run_now(list(calls.values())))

    def _once_call(self, item: OnceAppend) -> Call:
        seconds = int(conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600)
        keys = [self._key(item.stream), f"{self._key(item.stream)}:once:{item.key}"]
        args = [self._channel(item.stream.name), item.stream.name, conf.EVENTS_STREAM_MAXLEN, seconds, item.remember, item.packed]
        return APPEND_ONCE, keys, args

    async def append_once(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """See `BaseBroker`."""
        return [parse_id(answer) for answer in await self._run([self._once_call(item) for item in items])]

    def append_once_now(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """See `BaseBroker`."""
        return [parse_id(answer) for answer in self._run_now([self._once_call(item) for item in items])]

    async def read(self, cursors: Sequence[tuple[Stream, EventId]], *, limit: int) -> list[Reading]:
        """See `BaseBroker`."""
        oldest = int((time.time() - conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600) * 1000)
        calls: list[Call] = [
            (READ_DURABLE, self._keys(stream), [str(cursor), limit])
            if stream.durable
            else (READ, [self._key(stream)], [str(cursor), limit, oldest])
            for stream, cursor in cursors
        ]
        answers = await self._run(calls)
        return [
            durable_reading(cursor, answer) if stream.durable else backlog_reading(answer)
            for (stream, cursor), answer in zip(cursors, answers, strict=True)
        ]

    async def heads(self, streams: Sequence[Stream]) -> list[EventId]:
        """See `BaseBroker`."""
        return [parse_id(raw) for raw in await self._run([(HEAD, [self._key(each)], []) for each in streams])]

    @asynccontextmanager
    async def doorbells(self) -> AsyncIterator[DoorbellListener]:
        """See `BaseBroker`. Its own connection, without redis-py's silent reconnects: what rang meanwhile must be read."""
        client = redis.asyncio.Redis.from_url(
            self._url, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0), **_keep_alive(self._url)
        )
        try:
            with _reaching_redis():
                pubsub: Any = client.pubsub()
                async with asyncio.timeout(COMMAND_SECONDS):
                    await pubsub.connect()
            yield RedisDoorbells(pubsub, self._channel)
        finally:
            await client.aclose(close_connection_pool=True)

    def _lease_key(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:lease:{name}"

    async def touch(self, name: str, *, seconds: float) -> None:
        """See `BaseBroker`."""
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._redis.set(self._lease_key(name), "1", px=int(seconds * 1000))

    async def alive(self, names: Sequence[str]) -> list[bool]:
        """See `BaseBroker`."""
        if not names:
            return []
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                return [value is not None for value in await self._redis.mget([self._lease_key(name) for name in names])]

    async def ping(self) -> None:
        """See `BaseBroker`."""
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._redis.ping()

    async def facts(self) -> BrokerFacts:
        """See `BaseBroker`."""
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                return facts_of(await self._redis.info("server", "persistence", "memory"))

    def _blocking_client(self) -> redis.Redis:
        if self._blocking is None:
            self._blocking = redis.Redis.from_url(
                self._url,
                socket_timeout=COMMAND_SECONDS,
                retry=redis.retry.Retry(NoBackoff(), 0),
                maint_notifications_config=NO_NOTIFICATIONS,
                **_keep_alive(self._url),
            )
        return self._blocking

    async def close(self) -> None:
        """See `BaseBroker`."""
        await self._redis.aclose(close_connection_pool=True)
        if self._blocking is not None:
            self._blocking.close()


def _ids_of(items: Sequence[tuple[Stream, str]], calls: dict[Stream, Call], answers: list[Any]) -> list[EventId]:
    """The ids in the order of the items, from one list of ids for each stream."""
    ids = {stream: iter(answer) for stream, answer in zip(calls, answers, strict=True)}
    return [parse_id(next(ids[stream])) for stream, _ in items]
