"""Exactness: whatever happens between publishers and readers, each reader gets every event, in order, once."""

import asyncio
import contextlib
import random
from itertools import pairwise

import pytest
import redis.asyncio
from django.conf import settings as configured
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.broker.base import Reading
from events.broker.connect import connect
from events.broker.redis_server import RedisDoorbells
from events.event import START
from events.feed import KEEPALIVE, Feed
from events.hub import Hub, close_hub, current_hub
from events.ring import Ring
from tests.events.conftest import a_backlog, a_durable_stream, notes, packed, seqs, until

# The keep-alive lets a reader that has everything already see that no more will come.
QUICK = {"EVENTS_SWEEP_SECONDS": 0.05, "SSE_KEEPALIVE_SECONDS": 0.2}
TINY = QUICK | {"EVENTS_RING_EVENTS": 4, "EVENTS_READ_BATCH": 8}


class Client:
    """What a client that reconnects keeps: the events it has processed, and the last one's id."""

    def __init__(self, hub, stream, rng, cursor=START):
        self.hub, self.stream, self.rng = hub, stream, rng
        self.cursor = cursor
        self.got = []
        self.reasons = []

    async def follow(self, done):
        """Reads, is cut after a random event, and comes back, until `done()`."""
        while not done(self):
            await self.connect(self.rng.choice([1, 2, 5, 20]), done)

    async def connect(self, life, done):
        feed = Feed(hub=self.hub, stream=self.stream, cursor=self.cursor)
        async with feed:
            for _ in range(life):
                batch = await feed.next()
                if batch is None:
                    return
                if batch is KEEPALIVE:
                    if done(self):
                        return
                    continue
                if batch.reason:
                    self.reasons.append(batch.reason)
                # Cut inside what was sent: only so much of it arrived.
                arrived = batch.events[: self.rng.randint(1, len(batch.events))] if self.rng.random() < 0.3 else batch.events
                for event in arrived:
                    self.got.append(event)
                    self.cursor = event.id
                if len(arrived) < len(batch.events) or done(self):
                    return
                if self.rng.random() < 0.2:
                    await asyncio.sleep(self.rng.random() * 0.01)  # a slow client


async def publish(broker, stream, publisher, count, rng, *, silent, valkey):
    ids = []
    for n in range(count):
        burst = rng.choice([1, 1, 1, 3, 12])
        items = [(stream, packed(f"{publisher}:{n}:{part}")) for part in range(burst)]
        if silent and rng.random() < 0.3:
            # The doorbell is lost: the events are there, and nobody rings.
            ids += [await valkey.xadd(broker._key(stream), {"e": packed}) for _, packed in items]
        else:
            ids += await broker.append(items)
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() * 0.004)
    return ids


async def disturb(broker, stream, valkey, rng, kinds):
    while True:
        await asyncio.sleep(rng.random() * 0.02)
        match rng.choice(kinds):
            case "kill":
                await valkey.client_kill_filter(_type="pubsub")
            case "double":
                for _ in range(rng.randint(1, 5)):
                    await valkey.execute_command("SPUBLISH", broker._channel(stream.name), stream.name)
            case "foreign":
                await valkey.execute_command("SPUBLISH", broker._channel("user:nobody"), "user:nobody")


async def exactness(seed, kinds, *, publishers=3, readers=5, count=15):
    rng = random.Random(seed)
    hub, stream, broker = current_hub(), a_backlog(), connect()
    valkey = redis.asyncio.Redis.from_url(configured.REDIS_URL)
    total = []

    def done(client):
        return bool(total) and bool(client.got) and client.got[-1].id == total[-1]

    clients = [Client(hub, stream, random.Random(rng.random())) for _ in range(readers)]
    try:
        async with asyncio.timeout(30):
            reading = [asyncio.create_task(client.follow(done)) for client in clients]
            disturbing = asyncio.create_task(disturb(broker, stream, valkey, random.Random(rng.random()), kinds))
            writing = [
                publish(broker, stream, name, count, random.Random(rng.random()), silent="silent" in kinds, valkey=valkey)
                for name in range(publishers)
            ]
            await asyncio.gather(*writing)
            truth = (await broker.read([(stream, START)], limit=100_000))[0].events
            total += [event.id for event in truth]
            await asyncio.gather(*reading)
            disturbing.cancel()
        for client in clients:
            assert [event.id for event in client.got] == total
            assert client.got == truth
            assert client.reasons == []
        assert all(first < second for first, second in pairwise(total))
        assert hub.rings == {}
    finally:
        await close_hub()
        await broker.close()
        await valkey.aclose()


@given(
    seed=st.integers(0, 2**32),
    kinds=st.lists(st.sampled_from(["none", "kill", "double", "foreign", "silent"]), min_size=1, max_size=4),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_every_reader_gets_every_event_in_order_once(valkey, seed, kinds):
    with override_settings(**TINY):
        asyncio.run(exactness(seed, kinds))


@pytest.mark.parametrize("seed", range(2))
def test_with_rings_that_hold_everything(valkey, seed):
    with override_settings(**QUICK):
        asyncio.run(exactness(seed, ["kill", "double", "silent"], publishers=4, readers=10, count=25))


async def test_a_lost_doorbell_costs_no_more_than_a_sweep(valkey, settings):
    settings.EVENTS_SWEEP_SECONDS = 0.1
    hub, stream = current_hub(), a_backlog()
    async with Feed(hub=hub, stream=stream, cursor=START) as feed:
        reading = asyncio.create_task(feed.next())
        await until(lambda: feed._waiter is not None and hub.rings[stream].head is not None)
        valkey.xadd(hub.broker._key(stream), {"e": packed(1)})
        async with asyncio.timeout(2):
            assert (await reading).events
    await close_hub()


async def test_a_doorbell_brings_the_event_without_a_sweep(hub, settings):
    settings.EVENTS_SWEEP_SECONDS = 3600
    stream = a_backlog()
    loop = asyncio.get_running_loop()
    async with Feed(hub=hub, stream=stream, cursor=START) as feed:
        for n in range(30):
            reading = asyncio.create_task(feed.next())
            if n:
                await until(lambda: feed._waiter is not None)
            started = loop.time()
            await hub.broker.append([(stream, packed(n))])
            async with asyncio.timeout(2):
                assert (await reading).events
            assert loop.time() - started < 1


async def test_joining_while_events_are_published_never_waits_for_the_sweep(valkey, settings):
    """The first look, the start of the ring and the first event may come in any order."""
    settings.EVENTS_SWEEP_SECONDS = 3600
    hub = current_hub()
    await until(lambda: hub._listener is not None)
    for turns in range(60):
        stream = a_backlog()
        async with Feed(hub=hub, stream=stream, cursor=START) as feed, asyncio.timeout(3):
            reading = asyncio.create_task(feed.next())
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            await hub.broker.append([(stream, packed(1))])
            assert (await reading).events
    await close_hub()


async def test_a_ring_smaller_than_a_burst_loses_nothing_and_does_not_wait_for_the_sweep(valkey, settings):
    settings.EVENTS_SWEEP_SECONDS = 3600
    settings.EVENTS_RING_EVENTS, settings.EVENTS_READ_BATCH = 4, 8
    hub, stream = current_hub(), a_backlog()
    async with Feed(hub=hub, stream=stream, cursor=START) as feed, asyncio.timeout(10):
        total = 0
        for burst in (1, 3, 4, 5, 50, 1, 100):
            await hub.broker.append([(stream, packed(n)) for n in range(total, total + burst)])
            got = []
            while len(got) < burst:
                got += [event.data["n"] for event in (await feed.next()).events]
            assert got == list(range(total, total + burst))
            total += burst
    await close_hub()


async def test_readers_that_joined_while_doorbells_were_set_up_are_rung(valkey, settings):
    settings.EVENTS_SWEEP_SECONDS = 3600
    hub = Hub()
    try:
        feeds = [Feed(hub=hub, stream=a_backlog(), cursor=START) for _ in range(200)]
        tasks = []
        for feed in feeds:
            tasks.append(asyncio.create_task(first_of(feed)))
            await asyncio.sleep(0)
        await until(lambda: hub._listener is not None)
        await until(lambda: all(feed._waiter is not None for feed in feeds))
        subscribed = {name.decode() for name in valkey.pubsub_shardchannels("*")}
        await until(lambda: subscribed_now(valkey) >= {hub.broker._channel(feed.stream.name) for feed in feeds})
        assert subscribed
        for feed in feeds:
            await hub.broker.append([(feed.stream, packed(1))])
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)
    finally:
        await hub.close()


def subscribed_now(valkey):
    return {name.decode() for name in valkey.pubsub_shardchannels("*")}


async def first_of(feed):
    async with feed:
        return await feed.next()


async def test_killed_doorbells_come_back_for_all_streams(valkey, settings):
    settings.EVENTS_SWEEP_SECONDS = 3600
    hub = current_hub()
    feeds = [Feed(hub=hub, stream=a_backlog(), cursor=START) for _ in range(10)]
    tasks = [asyncio.create_task(first_of(feed)) for feed in feeds]
    await until(lambda: all(feed._waiter is not None for feed in feeds))
    await until(lambda: len(subscribed_now(valkey)) >= 10)
    valkey.client_kill_filter(_type="pubsub")
    # Published while nobody listens: the new subscription must find it.
    for feed in feeds:
        await hub.broker.append([(feed.stream, packed(1))])
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    await close_hub()


async def test_a_reader_that_joins_while_others_are_subscribed_again_is_subscribed_too(valkey, settings, monkeypatch):
    settings.EVENTS_SWEEP_SECONDS = 3600
    adding, going_on = asyncio.Event(), asyncio.Event()
    add = RedisDoorbells.add

    async def slowly(self, stream):
        await add(self, stream)
        if not adding.is_set():
            adding.set()
            await going_on.wait()

    monkeypatch.setattr(RedisDoorbells, "add", slowly)
    hub = Hub()
    early, late = (Feed(hub=hub, stream=a_backlog(), cursor=START) for _ in range(2))
    tasks = [asyncio.create_task(first_of(early))]
    await adding.wait()
    tasks.append(asyncio.create_task(first_of(late)))
    await until(lambda: late._ring is not None)
    going_on.set()
    channels = {hub.broker._channel(feed.stream.name) for feed in (early, late)}
    await until(lambda: channels <= subscribed_now(valkey), seconds=2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await hub.close()


async def test_what_was_read_before_the_ring_moved_on_is_not_added_to_it(hub):
    """The two tiers refill side by side."""
    ring = Ring(a_durable_stream())
    ring.start(START)
    ring.extend(notes(1, 5))
    await hub._take(ring, START, Reading(notes(1, 3)))
    assert (ring.head.major, seqs(ring.batch(START).events)) == (5, [1, 2, 3, 4, 5])


class TestComingAndGoing:
    async def test_an_unsubscription_that_overtakes_a_subscription_is_undone(self, hub, valkey, monkeypatch):
        stream = a_backlog()
        await until(lambda: hub._listener is not None)
        removing, going_on = asyncio.Event(), asyncio.Event()
        remove = hub._listener.remove

        async def slowly(stream):
            removing.set()
            await going_on.wait()
            await remove(stream)

        monkeypatch.setattr(hub._listener, "remove", slowly)
        leaving, joining = (Feed(hub=hub, stream=stream, cursor=START) for _ in range(2))
        await leaving.__aenter__()
        left = asyncio.create_task(leaving.__aexit__(None, None, None))
        await removing.wait()
        await joining.__aenter__()
        going_on.set()
        await left
        monkeypatch.undo()
        # A later command on the same connection is confirmed after all earlier ones.
        other = a_backlog()
        await hub._listener.add(other)
        await until(lambda: hub.broker._channel(other.name) in subscribed_now(valkey))
        assert hub.broker._channel(stream.name) in subscribed_now(valkey)
        await joining.__aexit__(None, None, None)

    async def test_the_last_one_out_unsubscribes(self, hub, valkey):
        stream = a_backlog()
        channel = hub.broker._channel(stream.name)
        feeds = [Feed(hub=hub, stream=stream, cursor=START) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for feed in feeds:
                await stack.enter_async_context(feed)
            await until(lambda: channel in subscribed_now(valkey))
            await feeds[0].__aexit__(None, None, None)
            assert len(hub.rings[stream].feeds) == 2
            assert channel in subscribed_now(valkey)
        await until(lambda: channel not in subscribed_now(valkey))
        assert hub.rings == {}

    async def test_joining_while_the_last_one_leaves_stays_subscribed(self, hub, valkey, settings):
        settings.EVENTS_SWEEP_SECONDS = 3600
        stream = a_backlog()
        await until(lambda: hub._listener is not None)
        for turn in range(30):
            leaving = Feed(hub=hub, stream=stream, cursor=START)
            await leaving.__aenter__()
            joining = Feed(hub=hub, stream=stream, cursor=(await hub.broker.heads([stream]))[0])
            both = [leaving.__aexit__(None, None, None), joining.__aenter__()]
            await asyncio.gather(*(both if turn % 2 else reversed(both)))
            reading = asyncio.create_task(joining.next())
            await until(lambda: joining._waiter is not None)  # noqa: B023
            await hub.broker.append([(stream, packed(turn))])
            async with asyncio.timeout(2):
                assert [event.data["n"] for event in (await reading).events] == [turn]
            await joining.__aexit__(None, None, None)
        assert hub.rings == {}

    async def test_a_reader_cancelled_while_joining_leaves_nothing_behind(self, hub, monkeypatch):
        await until(lambda: hub._listener is not None)
        never = asyncio.Event()

        async def hang(stream):
            await never.wait()

        monkeypatch.setattr(hub._listener, "add", hang)
        joining = asyncio.create_task(first_of(Feed(hub=hub, stream=a_backlog(), cursor=START)))
        await until(lambda: hub.rings)
        joining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joining
        assert hub.rings == {}

    async def test_many_readers_that_come_and_go_leave_nothing_behind(self, hub):
        streams = [a_backlog() for _ in range(5)]
        rng = random.Random(1)

        async def visit():
            feed = Feed(hub=hub, stream=rng.choice(streams), cursor=START)
            async with feed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rng.random() * 0.05):
                        while await feed.next() is not KEEPALIVE:
                            pass

        async def chatter():
            for n in range(100):
                await hub.broker.append([(rng.choice(streams), packed(n))])

        await asyncio.gather(chatter(), *(visit() for _ in range(200)))
        assert hub.rings == {}
        assert hub._by_name == {}

    async def test_each_event_loop_has_its_own_hub(self, hub):
        assert current_hub() is hub

        async def other():
            there = current_hub()
            await close_hub()
            return there

        assert await asyncio.to_thread(asyncio.run, other()) is not hub


async def test_a_mistake_in_one_refill_does_not_stop_the_hub(valkey, settings, monkeypatch):
    settings.EVENTS_SWEEP_SECONDS = 0.05
    monkeypatch.setattr("events.hub.RETRY_SECONDS", 0.05)
    hub, stream = current_hub(), a_backlog()
    async with Feed(hub=hub, stream=stream, cursor=START) as feed:
        reading = asyncio.create_task(feed.next())
        await until(lambda: feed._waiter is not None and hub.rings[stream].head is not None)
        # Not what `pack` writes: reading it fails until it is gone.
        spoiled = valkey.xadd(hub.broker._key(stream), {"e": "not JSON"})
        hub.ring_all()
        await asyncio.sleep(0)
        valkey.xdel(hub.broker._key(stream), spoiled)
        await hub.broker.append([(stream, packed(1))])
        async with asyncio.timeout(5):
            assert (await reading).events
    await close_hub()
