"""Every socket's address, in one place; with and without a trailing slash."""

from django.urls import URLPattern, re_path

from events.consumers import NoSuchSocket
from notifications.consumers import NotificationsConsumer

websocket_urlpatterns: list[URLPattern] = [
    re_path(r"^ws/notifications/(?P<user_id>[^/]+)/?$", NotificationsConsumer.as_asgi()),
    # Keep this one last.
    re_path(r"", NoSuchSocket.as_asgi()),
]
