"""A Redis Cluster that changes: a primary dies and its replica takes over, a slot moves to another server."""

import asyncio
from collections import Counter

import pytest
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError

from events.broker.base import Appended, DurableAppend, OnceAppend
from events.broker.redis import RedisBroker
from events.broker.redis_slots import ASKING, Plan, Slots
from events.event import START
from events.exceptions import BrokerUnavailable
from tests.clusters import ValkeyCluster
from tests.events.conftest import a_backlog, a_durable_stream, note, notes, numbers, packed, sooner_or_later, until
from tests.patience import patiently

SECONDS = 30.0
COUNT = 40


@pytest.fixture
def cluster(tmp_path):
    """Three primaries, and one replica of the first."""
    cluster = ValkeyCluster(tmp_path, replicas=1)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def broker(cluster):
    broker = RedisBroker(f"redis://127.0.0.1:{cluster.ports[1]}/0", is_cluster=True)
    yield broker
    await broker.close()


def of_first(make):
    """A stream of the first primary: its slot is among the first third."""
    while True:
        stream = make()
        if slot_of(stream) < 5000:
            return stream


def slot_of(stream):
    return key_slot(f"{{{stream.name}}}".encode())


async def listen(broker, streams, heard):
    """As the hub does: again when it ends."""
    while True:
        try:
            async with broker.doorbells() as listener:
                for stream in streams:
                    await listener.add(stream)
                async for name in listener:
                    heard[name] += 1
        except BrokerUnavailable:
            await asyncio.sleep(0.1)


async def test_a_primary_is_killed_and_its_replica_takes_over(cluster, broker):
    durable, backlog, elsewhere = of_first(a_durable_stream), of_first(a_backlog), [a_backlog() for _ in range(20)]
    assert await broker.fence(durable, 1) == START
    heard = Counter()
    listening = asyncio.create_task(listen(broker, [durable, backlog, *elsewhere], heard))
    await until(lambda: len(heard) == 22)
    for n in range(1, COUNT + 1):
        if n == COUNT // 2:
            # What it has said yes to, the replica has, too; without this wait the last moments may be lost.
            primary = cluster.client(0)
            primary.set(f"{{{backlog.name}}}:mark", 1)
            assert primary.wait(1, 20_000) == 1
            cluster.children[0].kill()
        append = DurableAppend(durable, 1, [note(n)])
        assert await sooner_or_later(lambda append=append: broker.append_durable([append])) == [Appended.OK]
        once = OnceAppend(backlog, packed(n), f"key {n}", 60)
        await sooner_or_later(lambda once=once: asyncio.to_thread(broker.append_once_now, [once]))
        await sooner_or_later(lambda n=n: broker.append([(each, packed(n)) for each in elsewhere]))
    [answer, feed] = await broker.read([(durable, START), (backlog, START)], limit=1000)
    assert answer.events == notes(1, COUNT)
    assert numbers(feed.events) == list(range(1, COUNT + 1))
    heard.clear()
    # Until it listens again, too: a doorbell may be lost, and the hub's sweep finds what it said.
    async with asyncio.timeout(patiently(SECONDS)):
        while not {durable.name, backlog.name} <= set(heard):
            await broker.append([(backlog, packed(0))])
            await broker.append_durable([DurableAppend(durable, 1, [note(answer.events[-1].id.major)])])
            await asyncio.sleep(0.05)
    listening.cancel()
    await broker.ping()


async def test_a_slot_moves_to_another_server_with_its_streams_and_their_doorbells(cluster, broker):
    durable = of_first(a_durable_stream)
    assert await broker.fence(durable, 1) == START
    await broker.append_durable([DurableAppend(durable, 1, notes(1, 3))])
    await asyncio.to_thread(broker.append_durable_now, DurableAppend(durable, 1, notes(4, 4)))
    heard = Counter()
    listening = asyncio.create_task(listen(broker, [durable], heard))
    await until(lambda: heard)
    source, target, slot = cluster.client(0), cluster.client(1), slot_of(durable)
    target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(0))
    source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(1))
    keys = source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    assert len(keys) == 2
    source.execute_command("MIGRATE", "127.0.0.1", cluster.ports[1], "", 0, 5000, "KEYS", *keys)
    # The keys are at the target already, and the slot is not: both are asked in turn.
    assert (await broker.read([(durable, START)], limit=9))[0].events == notes(1, 4)
    assert await broker.append_durable([DurableAppend(durable, 1, notes(5, 5))]) == [Appended.OK]
    for number in (1, 0, 2):
        cluster.client(number).execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(1))
    assert await broker.append_durable([DurableAppend(durable, 1, notes(6, 6))]) == [Appended.OK]
    assert await asyncio.to_thread(broker.append_durable_now, DurableAppend(durable, 1, notes(7, 7))) is Appended.OK
    assert (await broker.read([(durable, START)], limit=9))[0].events == notes(1, 7)
    heard.clear()
    async with asyncio.timeout(patiently(SECONDS)):
        while not heard:
            await broker.append_durable([DurableAppend(durable, 1, notes(7, 7))])
            await asyncio.sleep(0.05)
    listening.cancel()


def told(*ranges):
    return [[first, last, [host.encode(), port, b"id", []]] for first, last, host, port in ranges]


def test_a_key_belongs_to_the_server_of_its_slot():
    slots = Slots(told((8192, 16383, "b", 2), (0, 8191, "", 1)), "a:1")
    assert slots.addresses == ["a:1", "b:2"]
    for key in ("tl:{x}", "tl:{y}:meta", "z"):
        assert slots.address_of(key) == ("a:1" if key_slot(key.encode()) < 8192 else "b:2")
    assert Slots(told((0, 16383, "::1", 7)), "x:1").addresses == ["[::1]:7"]


def test_who_is_sent_elsewhere_is_asked_there_and_nobody_else_again():
    slots = Slots(told((0, 16383, "a", 1)), "a:1")
    plan = Plan([("k", ("GET", "k")), ("l", ("GET", "l")), ("m", ("GET", "m"))])
    assert plan.parts(slots) == {"a:1": [("k", ("GET", "k")), ("l", ("GET", "l")), ("m", ("GET", "m"))]}
    plan.enter([[b"1", AskError("5 b:2"), MovedError("6 c:3")]])
    assert (plan.waiting, plan.has_moved) == ([1, 2], True)
    slots = Slots(told((0, 16383, "c", 3)), "a:1")
    assert plan.parts(slots) == {"b:2": [ASKING, ("l", ("GET", "l"))], "c:3": [("m", ("GET", "m"))]}
    plan.enter([[b"OK", b"2"], [b"3"]])
    assert (plan.answers, plan.waiting, plan.has_moved) == ([b"1", b"2", b"3"], [], False)
