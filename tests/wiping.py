"""Emptying stores."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import nats


async def wipe_nats(url: str) -> None:
    """Removes everything from a NATS."""
    client = await nats.connect(url)
    manager = client.jsm()
    for stream in await manager.streams_info():
        await manager.delete_stream(stream.config.name)
    await client.close()


def wipe_nats_now(url: str) -> None:
    """`wipe_nats` for code that does not await, also within an event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, wipe_nats(url)).result()
