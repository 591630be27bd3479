"""Publishes to the feed of the user BENCH_USER."""

import os

import django

django.setup()

from events.publishing import Publication, publish_many  # noqa: E402 - after django.setup()
from events.streams import Stream  # noqa: E402

STREAM = Stream("user", os.environ["BENCH_USER"])


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    await publish_many([Publication(STREAM, "notification.created", event) for event in events])
