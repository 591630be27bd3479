"""The broker on Redis 7 or Valkey: one Redis Stream per stream, append and doorbell in one script."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from events.broker.base import Appended, BaseBroker, DoorbellListener, DurableAppend, Reading
from events.conf import conf
from events.event import Event, EventId, pack, unpack
from events.exceptions import BrokerUnavailable
from events.streams import Stream

COMMAND_SECONDS = 5.0
"""Longest wait for one round trip. `asyncio.timeout`, not redis-py's socket_timeout: that one swallows cancellations on 3.11."""

SEED_CHUNK = 1000

# KEYS stream, meta. ARGV channel, name, lease, first id, seconds to live (0: none), then packed events.
APPEND_DURABLE = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease'))
if not lease then return 'lost' end
if lease > tonumber(ARGV[3]) then return 'stale' end
if lease < tonumber(ARGV[3]) then return 'lost' end
local head = tonumber(redis.call('HGET', KEYS[2], 'head') or '0')
local seq = tonumber(ARGV[4])
if seq > head + 1 or (head > 0 and redis.call('EXISTS', KEYS[1]) == 0) then return 'lost' end
for i = 6, #ARGV do
  if seq > head then
    redis.call('XADD', KEYS[1], string.format('%.0f-0', seq), 'e', ARGV[i])
    head = seq
  end
  seq = seq + 1
end
redis.call('HSET', KEYS[2], 'head', string.format('%.0f', head))
if tonumber(ARGV[5]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[5])
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream, meta. ARGV lease. The head, or -1: a newer lease exists.
FENCE = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[1]) then return -1 end
redis.call('HSET', KEYS[2], 'lease', ARGV[1])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[2], 'head', '0') end
return tonumber(redis.call('HGET', KEYS[2], 'head') or '0')
"""

# KEYS stream, meta, prepared copy. ARGV channel, name, lease, head. Readers never see a shorter stream in between.
SEED = """
local lease = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if lease > tonumber(ARGV[3]) then redis.call('DEL', KEYS[3]) return 'stale' end
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('HSET', KEYS[2], 'lease', ARGV[3], 'head', ARGV[4])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS stream. ARGV channel, name, about how many to keep, seconds to live, then packed events.
APPEND = """
local ids = {}
for i = 5, #ARGV do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return ids
"""

# KEYS stream, meta. ARGV cursor, limit. {exists, head, entries}
READ_DURABLE = """
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
return {redis.call('EXISTS', KEYS[1]), tonumber(redis.call('HGET', KEYS[2], 'head') or '0'), entries}
"""

# KEYS stream. ARGV cursor, limit. {exists, reason ('' means continuous), entries}
# A cursor is continuous when its event is still here, or it is the last id ever given out, or it is
# 0-0 and nothing was ever removed.
READ = """
local cursor, limit = ARGV[1], tonumber(ARGV[2])
local entries = redis.call('XRANGE', KEYS[1], cursor, '+', 'COUNT', limit + 1)
if #entries > 0 and entries[1][1] == cursor then
  table.remove(entries, 1)
  return {1, '', entries}
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0, cursor == '0-0' and '' or 'expired', {}}
end
local raw, info = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for i = 1, #raw, 2 do info[raw[i]] = raw[i + 1] end
if info['last-generated-id'] == cursor then return {1, '', {}} end
local trimmed = info['entries-added'] > info['length']
if cursor == '0-0' then
  if #entries > limit then table.remove(entries) end
  return {1, trimmed and 'trimmed' or '', entries}
end
local older = #entries > 0 and info['first-entry'] and entries[1][1] == info['first-entry'][1]
return {1, (trimmed and older) and 'trimmed' or 'unknown_cursor', redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', limit)}
"""

# KEYS stream. The last id ever given out.
HEAD = """
if redis.call('EXISTS', KEYS[1]) == 0 then return '0-0' end
local raw = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #raw, 2 do if raw[i] == 'last-generated-id' then return raw[i + 1] end end
"""


def _parse_id(raw: bytes) -> EventId:
    major, _, minor = raw.partition(b"-")
    return EventId(int(major), int(minor))


def _events(entries: list[tuple[bytes, list[bytes]]]) -> list[Event]:
    return [unpack(_parse_id(raw_id), fields[1]) for raw_id, fields in entries]


@contextmanager
def _reaching_redis() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise BrokerUnavailable from error


class RedisDoorbells(DoorbellListener):
    """Doorbells over one pub/sub connection."""

    def __init__(self, pubsub: Any, channel_of: Any) -> None:
        self._pubsub = pubsub
        self._channel_of = channel_of

    async def add(self, stream: Stream) -> None:
        """Sends SUBSCRIBE; its confirmation is handed out as a ring."""
        with _reaching_redis():
            await self._pubsub.subscribe(self._channel_of(stream.name))

    async def remove(self, stream: Stream) -> None:
        """Sends UNSUBSCRIBE."""
        with _reaching_redis():
            await self._pubsub.unsubscribe(self._channel_of(stream.name))

    async def __aiter__(self) -> AsyncIterator[str]:
        prefix = len(self._channel_of(""))
        with _reaching_redis():
            while True:
                message = await self._pubsub.parse_response(block=True)
                if message and message[0] in (b"subscribe", b"message"):
                    yield message[1].decode()[prefix:]


class RedisBroker(BaseBroker):
    """The broker on Redis 7 or Valkey, at a URL. One per event loop; `append_now` may be used from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=16,
            timeout=COMMAND_SECONDS,
            socket_timeout=None,
            socket_connect_timeout=None,
            socket_keepalive=True,
        )
        self._redis = redis.asyncio.Redis(connection_pool=pool, retry=Retry(NoBackoff(), 1))
        self._blocking: redis.Redis | None = None
        register = self._redis.register_script
        self._append_durable, self._append, self._fence = register(APPEND_DURABLE), register(APPEND), register(FENCE)
        self._seed, self._read_durable, self._read, self._head = (
            register(SEED),
            register(READ_DURABLE),
            register(READ),
            register(HEAD),
        )

    # The braces keep a stream's keys in one slot of a Redis Cluster.
    def _key(self, stream: Stream) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:{{{stream.name}}}"

    def _keys(self, stream: Stream) -> list[str]:
        return [self._key(stream), f"{self._key(stream)}:meta"]

    def _channel(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:bell:{name}"

    async def _pipelined(self, calls: Sequence[tuple[Any, list[str], list[Any]]]) -> list[Any]:
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS), self._redis.pipeline(transaction=False) as pipe:
                for script, keys, args in calls:
                    await script(keys=keys, args=args, client=pipe)
                return list(await pipe.execute())

    async def _call(self, script: Any, keys: list[str], args: list[Any]) -> Any:
        with _reaching_redis():
            async with asyncio.timeout(COMMAND_SECONDS):
                return await script(keys=keys, args=args)

    async def append_durable(self, appends: Sequence[DurableAppend]) -> list[Appended]:
        """See `BaseBroker`. Sent again after an unknown outcome, it adds only what is not yet there."""
        calls = [
            (
                self._append_durable,
                self._keys(each.stream),
                [
                    self._channel(each.stream.name),
                    each.stream.name,
                    each.lease,
                    each.events[0].id.major,
                    conf.EVENTS_HOT_SECONDS if each.ended else 0,
                    *(pack(event.type, event.data, event.at) for event in each.events),
                ],
            )
            for each in appends
        ]
        return [Appended(answer.decode()) for answer in await self._pipelined(calls)]

    async def fence(self, stream: Stream, lease: int) -> EventId | None:
        """See `BaseBroker`."""
        head = await self._call(self._fence, self._keys(stream), [lease])
        return None if head < 0 else EventId(head, 0)

    async def seed(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """See `BaseBroker`. Prepared in a second key and renamed, so that no reader sees half of it."""
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
        answer = await self._call(self._seed, [*self._keys(stream), prepared], args)
        with _reaching_redis():
            await self._redis.persist(self._key(stream))
        return Appended(answer.decode())

    def _append_args(self, stream: Stream, packed: list[str]) -> list[Any]:
        seconds = int(conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600)
        return [self._channel(stream.name), stream.name, conf.EVENTS_STREAM_MAXLEN, seconds, *packed]

    async def append(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        calls = [(self._append, [self._key(stream)], self._append_args(stream, [packed])) for stream, packed in items]
        return [_parse_id(ids[0]) for ids in await self._pipelined(calls)]

    def append_now(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """See `BaseBroker`."""
        client = self._blocking_client()
        with _reaching_redis():
            append = client.register_script(APPEND)
            with client.pipeline(transaction=False) as pipe:
                for stream, packed in items:
                    append(keys=[self._key(stream)], args=self._append_args(stream, [packed]), client=pipe)
                return [_parse_id(ids[0]) for ids in pipe.execute()]

    async def read(self, cursors: Sequence[tuple[Stream, EventId]], *, limit: int) -> list[Reading]:
        """See `BaseBroker`."""
        calls = [
            (self._read_durable, self._keys(stream), [str(cursor), limit])
            if stream.durable
            else (self._read, [self._key(stream)], [str(cursor), limit])
            for stream, cursor in cursors
        ]
        answers = await self._pipelined(calls)
        return [
            _durable_reading(cursor, answer) if stream.durable else _backlog_reading(answer)
            for (stream, cursor), answer in zip(cursors, answers, strict=True)
        ]

    async def heads(self, streams: Sequence[Stream]) -> list[EventId]:
        """See `BaseBroker`."""
        return [_parse_id(raw) for raw in await self._pipelined([(self._head, [self._key(each)], []) for each in streams])]

    @asynccontextmanager
    async def doorbells(self) -> AsyncIterator[DoorbellListener]:
        """See `BaseBroker`. Its own connection, without redis-py's silent reconnects: what rang meanwhile must be read."""
        client = redis.asyncio.Redis.from_url(
            self._url, socket_timeout=None, socket_connect_timeout=None, socket_keepalive=True, retry=Retry(NoBackoff(), 0)
        )
        try:
            with _reaching_redis():
                pubsub = client.pubsub()
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

    def ping_now(self) -> None:
        """See `BaseBroker`."""
        with _reaching_redis():
            self._blocking_client().ping()

    def _blocking_client(self) -> redis.Redis:
        if self._blocking is None:
            self._blocking = redis.Redis.from_url(self._url, socket_timeout=COMMAND_SECONDS, socket_keepalive=True)
        return self._blocking

    async def close(self) -> None:
        """See `BaseBroker`."""
        await self._redis.aclose(close_connection_pool=True)
        if self._blocking is not None:
            self._blocking.close()


def _durable_reading(cursor: EventId, answer: Any) -> Reading:
    exists, head, entries = answer
    events = _events(entries)
    if not exists:
        return Reading([], exists=False)
    if head < cursor.major:
        return Reading([], continuous=False, reason="unknown_cursor")
    whole = not events or events[0].id.major == cursor.major + 1
    return Reading(events, continuous=whole, reason="" if whole else "trimmed")


def _backlog_reading(answer: Any) -> Reading:
    exists, reason, entries = answer
    text = reason.decode()
    return Reading(_events(entries), continuous=not text, exists=bool(exists), reason=text)
