"""Publishes with send_event."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.eventstream.settings")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

import django

django.setup()

from django_eventstream import send_event  # noqa: E402 - after django.setup()


async def publish(events: list[dict[str, int]]) -> None:
    """One send_event an event: there is no call that sends several."""
    for event in events:
        send_event("bench", "message", event)
