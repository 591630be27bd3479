"""The product's socket for topics, and one more: what a stock consumer does, on our base (a user's feed, each event a frame)."""

from collections.abc import Iterable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from realtime_project import asgi  # first: it sets Django up

# isort: split
from events.consumers import BaseConsumer
from events.event import Event
from events.hub import current_hub
from events.streams import Stream
from events.topics.consumers import TopicsConsumer


class FeedConsumer(BaseConsumer):
    """Follows the caller's feed from now on."""

    async def opened(self) -> None:
        """Everybody may read his own."""
        stream = Stream("user", self.caller.user_id)
        heads = await current_hub().log.heads([stream])
        self.follow("feed", stream=stream, cursor=heads[stream].id, render=frames)


def frames(event: Event) -> Iterable[dict[str, Any]]:
    """One frame an event."""
    yield event.data


sockets = URLRouter([path("ws/feed", FeedConsumer.as_asgi()), path("ws/events", TopicsConsumer.as_asgi())])
application = ProtocolTypeRouter({**asgi.application.application_mapping, "websocket": sockets})
