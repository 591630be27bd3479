"""The ASGI application: `uvicorn realtime_project.asgi:application`."""

import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime_project.settings")
django.setup()

# After setup: these import models.
from events.asgi import StreamingASGIHandler  # noqa: E402
from realtime_project.lifespan import lifespan  # noqa: E402
from realtime_project.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {"http": StreamingASGIHandler(), "websocket": URLRouter(websocket_urlpatterns), "lifespan": lifespan}
)
