"""Every socket's address, in one place; with and without a trailing slash."""

from django.urls import URLPattern, re_path

from events.consumers import NoSuchSocket

websocket_urlpatterns: list[URLPattern] = [
    # Keep this one last.
    re_path(r"", NoSuchSocket.as_asgi()),
]
