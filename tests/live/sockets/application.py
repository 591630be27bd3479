"""The product's ASGI application, with sockets that only tests need: `uvicorn tests.live.sockets.application:application`."""

import asyncio

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path

from realtime_project import asgi  # first: it sets Django up

# isort: split
from accounts.threads import in_thread
from events.consumers import BaseConsumer
from events.exceptions import Forbidden
from events.streams import Stream, format_cursor, parse_cursor
from realtime_project.routing import websocket_urlpatterns


class Echo(AsyncWebsocketConsumer):
    """Everything back as it came, for the conformance suite."""

    channel_layer_alias = ""

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Base(BaseConsumer):
    """The base, with one frame of each kind of work. `?stream=` is followed from `?since=`."""

    async def opened(self):
        if self.path_args["name"] == "forbidden":
            raise Forbidden
        await self.join_group(f"test:{self.path_args['name']}")
        if name := self.query.get("stream"):
            stream = Stream.parse(name)
            cursor = parse_cursor(stream, self.query.get("since", "0"))
            self.follow("stream", stream=stream, cursor=cursor, render=rendered)

    async def on_say(self, frame):
        await self.broadcast(f"test:{self.path_args['name']}", {"type": "said", "what": frame.get("what")})

    async def on_tasks(self, frame):
        names = sorted(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("socket"))
        await self.tell({"type": "tasks", "names": names})

    async def on_slow(self, frame):
        self.work(self._slow(), name="slow")

    async def on_broken(self, frame):
        raise ZeroDivisionError

    async def _slow(self):
        await in_thread(lambda: None)
        await self.tell({"type": "done"})


def rendered(event):
    """The frames of any event."""
    yield {"type": "event", "id": format_cursor(Stream("user", "-"), event.id), "event": event.type, "data": event.data}


ROUTES = [re_path(r"^ws/echo$", Echo.as_asgi()), re_path(r"^ws/base/(?P<name>[^/]+)/?$", Base.as_asgi()), *websocket_urlpatterns]
application = ProtocolTypeRouter({**asgi.application.application_mapping, "websocket": URLRouter(ROUTES)})
