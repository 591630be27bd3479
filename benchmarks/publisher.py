"""The publisher of a benchmark, a process of its own: `python -m benchmarks.publisher MODULE --seconds S ...`.

MODULE has `async def publish(events)`, which publishes a list of `{"n", "sent"}`, in order. Either `--window`
events are in flight (published, not yet read by every reader: `--acks` is where readers tell), or `--rate` a
second are published on an even schedule, or one at each of the `--moments` (seconds after the beginning, as JSON on
standard input), or `--count` as fast as they go. Prints a line of JSON when it begins, `began_ns` (CLOCK_MONOTONIC), and
one at the end: `sent`, `stalled`, `began_ns`, `wall_s`, `cpu_s`, and how long each core worked meanwhile.
"""

import argparse
import asyncio
import bisect
import importlib
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable

from benchmarks.machine import LOAD_CORE, SERVER_CORE, core_busy_seconds

Publish = Callable[[list[dict[str, int]]], Awaitable[None]]
QUIET = 0xFFFFFFFF
"""What readers tell when they have received nothing for QUIET_SECONDS."""
QUIET_SECONDS = 0.3


def events(first: int, count: int) -> list[dict[str, int]]:
    """Events `first` to `first + count - 1`, published now."""
    return [{"n": n, "sent": time.monotonic_ns()} for n in range(first, first + count)]


class Acknowledgements:
    """The last event that all readers have passed, as they tell it through a pipe."""

    def __init__(self, descriptor: int) -> None:
        self.passed = 0
        self.quiet = False
        self.news = asyncio.Event()
        self.descriptor = descriptor
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        data = os.read(self.descriptor, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(self.descriptor)
        elif len(data) >= 4:
            last = struct.unpack("I", data[-4:])[0]
            self.quiet = last == QUIET
            self.passed = self.passed if self.quiet else max(self.passed, last)
        self.news.set()


async def keep_in_flight(publish: Publish, *, window: int, seconds: float, acks: int) -> dict[str, int]:
    """Publishes for `seconds` with `window` events in flight; counts how often the readers fell silent before they had all.

    What is still under way then is taken as lost, or the publisher would wait for it for ever.
    """
    acknowledgements = Acknowledgements(acks)
    sent = stalled = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        room = window - (sent - acknowledgements.passed)
        if room > 0:
            await publish(events(sent + 1, room))
            sent += room
            await asyncio.sleep(0)
            continue
        acknowledgements.news.clear()
        published = time.monotonic()
        await acknowledgements.news.wait()
        if acknowledgements.quiet and time.monotonic() - published > QUIET_SECONDS / 2:
            stalled += 1
            acknowledgements.passed = sent
    return {"sent": sent, "stalled": stalled}


async def keep_rate(publish: Publish, *, rate: float, seconds: float) -> dict[str, int]:
    """Publishes `rate` events a second for `seconds`, each at its moment."""
    start = time.monotonic()
    count = int(rate * seconds)
    for n in range(1, count + 1):
        await asyncio.sleep(max(0.0, start + n / rate - time.monotonic()))
        await publish(events(n, 1))
    return {"sent": count, "stalled": 0}


async def keep_moments(publish: Publish, *, moments: list[float]) -> dict[str, int]:
    """Publishes one event at each of these moments, in seconds after the beginning; those that are due together at once."""
    start, sent = time.monotonic(), 0
    while sent < len(moments):
        await asyncio.sleep(max(0.0, start + moments[sent] - time.monotonic()))
        due = bisect.bisect_right(moments, time.monotonic() - start, lo=sent + 1)
        await publish(events(sent + 1, min(due - sent, 100)))
        sent += min(due - sent, 100)
    return {"sent": sent, "stalled": 0}


async def preload(publish: Publish, *, count: int) -> dict[str, int]:
    """Publishes `count` events, 100 at a time."""
    for first in range(1, count + 1, 100):
        await publish(events(first, min(100, count + 1 - first)))
    return {"sent": count, "stalled": 0}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--window", type=int, default=0)
    parser.add_argument("--acks", type=int, default=-1)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--moments", action="store_true")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    cores = (SERVER_CORE, LOAD_CORE)
    publish: Publish = importlib.import_module(options.module).publish
    moments: list[float] = json.load(sys.stdin) if options.moments else []
    print(json.dumps({"began_ns": time.monotonic_ns()}), flush=True)
    begun, cpu, busy = time.monotonic(), time.process_time(), [core_busy_seconds(core) for core in cores]
    if options.window:
        report = await keep_in_flight(publish, window=options.window, seconds=options.seconds, acks=options.acks)
    elif options.rate:
        report = await keep_rate(publish, rate=options.rate, seconds=options.seconds)
    elif moments:
        report = await keep_moments(publish, moments=moments)
    else:
        report = await preload(publish, count=options.count)
    spent = [core_busy_seconds(core) - then for core, then in zip(cores, busy, strict=True)]
    print(
        json.dumps(
            {
                **report,
                "began_ns": int(begun * 1e9),
                "wall_s": time.monotonic() - begun,
                "cpu_s": time.process_time() - cpu,
                "server_core_s": spent[0],
                "load_core_s": spent[1],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(main())
