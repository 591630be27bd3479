"""The broker on Redis 7 or Valkey: one Redis Stream per stream, append and doorbell in one script."""

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.exceptions import NoScriptError

from events.broker.base import Appended, BrokerFacts, DoorbellListener, DurableAppend, OnceAppend, Reading
from events.broker.leases import RedisLeases
from events.broker.readings import backlog_reading, durable_reading, facts_of, parse_id
from events.broker.redis_cluster import RedisCluster
from events.broker.redis_server import RedisServer, in_time, reaching_redis
from events.broker.redis_slots import Command
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
from events.streams import Stream

SEED_CHUNK = 1000

IDLE_SECONDS = 24 * 3600
"""How long a durable stream that nobody writes to stays in the broker, should its end never come here: the journal has it."""


class RedisBroker(RedisLeases):
    """The broker on the Redis 7 or Valkey at a URL, or on a cluster of which it is a part.

    One per event loop; what ends in `_now` may be used from any thread.
    """

    def __init__(self, url: str, *, is_cluster: bool = False) -> None:
        self._redis = RedisCluster(url) if is_cluster else RedisServer(url)

    # The braces keep a stream's keys in one slot of a Redis Cluster.
    def _key(self, stream: Stream) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:{{{stream.name}}}"

    def _keys(self, stream: Stream) -> list[str]:
        return [self._key(stream), f"{self._key(stream)}:meta"]

    def _channel(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:bell:{{{name}}}"

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """The answers of scripts, all sent in one round trip."""
        async with in_time():
            answers = await self._redis.ask([_by_hash(call) for call in calls])
            forgotten = _forgotten(answers)
            if forgotten:
                _enter(answers, forgotten, await self._redis.ask([_whole(calls[number]) for number in forgotten]))
            return _checked(answers)

    def _run_now(self, calls: Sequence[Call]) -> list[Any]:
        """`_run` for synchronous code."""
        with reaching_redis():
            answers = self._redis.ask_now([_by_hash(call) for call in calls])
            forgotten = _forgotten(answers)
            if forgotten:
                _enter(answers, forgotten, self._redis.ask_now([_whole(calls[number]) for number in forgotten]))
            return _checked(answers)

    async def _ask(self, *commands: Command) -> list[Any]:
        """The answers to plain commands, in one round trip."""
        async with in_time():
            return _checked(await self._redis.ask(commands))

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
        if not events:
            return Appended.OK
        prepared = f"{self._key(stream)}:seed:{lease}"
        await self._ask((prepared, ("DEL", prepared)))
        for start in range(0, len(events), SEED_CHUNK):
            await self._ask(*(_added(prepared, event) for event in events[start : start + SEED_CHUNK]))
        await self._ask((prepared, ("EXPIRE", prepared, 60)))
        args = [self._channel(stream.name), stream.name, lease, events[-1].id.major]
        [answer] = await self._run([(SEED, [*self._keys(stream), prepared], args)])
        await self._ask((prepared, ("EXPIRE", self._key(stream), IDLE_SECONDS)))
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
                args = [self._channel(stream.name), stream.name, _most(stream), seconds]
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
        args = [self._channel(item.stream.name), item.stream.name, _most(item.stream), seconds, item.remember, item.packed]
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

    def doorbells(self) -> AbstractAsyncContextManager[DoorbellListener]:
        """See `BaseBroker`."""
        return self._redis.doorbells(self._channel)

    def _lease_key(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:lease:{name}"

    async def touch(self, name: str, *, seconds: float) -> None:
        """See `BaseBroker`."""
        key = self._lease_key(name)
        await self._ask((key, ("SET", key, "1", "PX", int(seconds * 1000))))

    async def alive(self, names: Sequence[str]) -> list[bool]:
        """See `BaseBroker`."""
        if not names:
            return []
        keys = [self._lease_key(name) for name in names]
        return [bool(answer) for answer in await self._ask(*((key, ("EXISTS", key)) for key in keys))]

    async def ping(self) -> None:
        """See `BaseBroker`."""
        async with in_time():
            await self._redis.ask_all("PING")

    async def facts(self) -> BrokerFacts:
        """See `BaseBroker`. Of a cluster: the oldest version, what is wrong with any server, and what all hold together."""
        async with in_time():
            return facts_of(await self._redis.ask_all("INFO"))

    async def close(self) -> None:
        """See `BaseBroker`."""
        await self._redis.close()


def _by_hash(call: Call) -> Command:
    script, keys, args = call
    return keys[0], ("EVALSHA", HASHES[script], len(keys), *keys, *args)


def _whole(call: Call) -> Command:
    """For a server that does not know the script: from then on it does."""
    script, keys, args = call
    return keys[0], ("EVAL", script, len(keys), *keys, *args)


def _forgotten(answers: list[Any]) -> list[int]:
    """Which calls did not run because the broker does not know their script."""
    return [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]


def _enter(answers: list[Any], numbers: list[int], again: list[Any]) -> None:
    for number, answer in zip(numbers, again, strict=True):
        answers[number] = answer


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _added(key: str, event: Event) -> Command:
    return key, ("XADD", key, str(event.id), "e", pack(event.type, event.data, event.at))


def _most(stream: Stream) -> int:
    """About how many events a backlog keeps: that of an organisation has many writers, and readers who must not miss any."""
    return conf.EVENTS_TOPIC_MAXLEN if stream.kind == "org" else conf.EVENTS_STREAM_MAXLEN


def _ids_of(items: Sequence[tuple[Stream, str]], calls: dict[Stream, Call], answers: list[Any]) -> list[EventId]:
    """The ids in the order of the items, from one list of ids for each stream."""
    ids = {stream: iter(answer) for stream, answer in zip(calls, answers, strict=True)}
    return [parse_id(next(ids[stream])) for stream, _ in items]
