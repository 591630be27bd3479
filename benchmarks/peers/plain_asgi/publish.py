"""Publishes to the plain server: one PUBLISH an event."""

import json
import os

import redis.asyncio

client = redis.asyncio.from_url(os.environ["REDIS_URL"])


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    async with client.pipeline(transaction=False) as pipeline:
        for event in events:
            pipeline.publish("bench", json.dumps(event))
        await pipeline.execute()
