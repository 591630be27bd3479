"""The project as the tutorial of Channels has it."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.channels_stock.settings")

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

GROUP = "bench"


class FeedConsumer(AsyncJsonWebsocketConsumer):
    """Sends what the group is sent."""

    async def connect(self) -> None:
        """Joins the group, then accepts."""
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - the framework calls it so
        """Leaves the group."""
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def feed_event(self, message: dict[str, Any]) -> None:
        """One event, as JSON."""
        await self.send_json(message["event"])


application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": URLRouter([path("ws/feed", FeedConsumer.as_asgi())])}
)
