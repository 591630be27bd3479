"""Append, read and delivery of both brokers, on stores of its own: `python -m benchmarks.brokers`."""

import asyncio
import json
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime_project.settings")
django.setup()

from events.broker.base import DurableAppend  # noqa: E402 - after django.setup()
from events.broker.nats import NatsBroker  # noqa: E402
from events.broker.redis import RedisBroker  # noqa: E402
from events.event import START, Event, EventId, pack  # noqa: E402
from events.streams import Stream  # noqa: E402
from realtime_project.serving.nats import EmbeddedNats  # noqa: E402
from realtime_project.serving.valkey import EmbeddedValkey  # noqa: E402

PACKED = pack("text.delta", {"block": 0, "text": "some words of it"}, 1_700_000_000_000)


def event(number):
    return Event(EventId(number, 0), "text.delta", {"block": 0, "text": "some words of it"}, 1_700_000_000_000)


async def rate(count, work):
    began = time.perf_counter()
    await work()
    return round(count / (time.perf_counter() - began))


async def one_by_one(broker):
    stream = Stream("user", uuid.uuid4().hex)
    times = []
    for _ in range(500):
        began = time.perf_counter()
        await broker.append([(stream, PACKED)])
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 2)


async def measured(broker):
    streams = [Stream("message", uuid.uuid4().hex) for _ in range(300)]
    backlog = Stream("user", uuid.uuid4().hex)
    for stream in streams:
        await broker.fence(stream, 1)

    async def durable():
        for number in range(1, 21):
            await broker.append_durable([DurableAppend(stream, 1, [event(number)]) for stream in streams])

    async def pipelined():
        for _ in range(20):
            await broker.append([(backlog, PACKED)] * 100)

    async def reads():
        for number in range(20):
            # One event each, as readers do who have followed from the start.
            await broker.read([(stream, EventId(number, 0)) for stream in streams], limit=1)

    async def whole():
        await broker.read([(stream, START) for stream in streams], limit=512)

    result = {"append, one at a time (ms)": await one_by_one(broker)}
    result["appends/s, 300 durable streams at once"] = await rate(6000, durable)
    result["appends/s, one backlog, 100 at once"] = await rate(2000, pipelined)
    result["reads/s, 300 cursors at once"] = await rate(6000, reads)
    result["events read/s, 300 streams from their start"] = await rate(6000, whole)
    result["append to doorbell to read, median (ms)"] = await delivered(broker)
    return result


async def delivered(broker):
    stream, times = Stream("user", uuid.uuid4().hex), []
    async with broker.doorbells() as listener:
        await listener.add(stream)
        bells = aiter(listener)
        await anext(bells)
        cursor = START
        for _ in range(300):
            began = time.perf_counter()
            [_, name] = await asyncio.gather(broker.append([(stream, PACKED)]), anext(bells))
            assert name == stream.name
            [reading] = await broker.read([(stream, cursor)], limit=512)
            times.append((time.perf_counter() - began) * 1000)
            cursor = reading.events[-1].id
    return round(statistics.median(times), 2)


async def run(broker):
    result = await measured(broker)
    await broker.close()
    return result


def main():
    with tempfile.TemporaryDirectory() as folder:
        valkey, nats = EmbeddedValkey(Path(folder) / "valkey"), EmbeddedNats(Path(folder) / "nats")
        try:
            brokers = {"Valkey": RedisBroker(valkey.start()), "NATS": NatsBroker(nats.start())}
            print(json.dumps({name: asyncio.run(run(broker)) for name, broker in brokers.items()}, indent=2))
        finally:
            valkey.stop()
            nats.stop()


if __name__ == "__main__":
    main()
