"""Publishes with group_send."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_stock.settings")

import django

django.setup()

from channels.layers import get_channel_layer  # noqa: E402 - after django.setup()

layer = get_channel_layer()


async def publish(events: list[dict[str, int]]) -> None:
    """One group_send an event: there is no call that sends several."""
    for event in events:
        await layer.group_send("bench", {"type": "feed.event", "event": event})
