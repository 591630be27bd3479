"""Every socket's address, in one place; with and without a trailing slash."""

from django.urls import URLPattern, re_path

from chat.consumers import ChatConsumer
from events.consumers import NoSuchSocket
from events.topics.consumers import TopicsConsumer
from notifications.consumers import NotificationsConsumer
from plugins.consumers import PluginDebugConsumer
from workspaces.consumers import WorkspaceConsumer

websocket_urlpatterns: list[URLPattern] = [
    re_path(r"^ws/chat/(?P<session_id>[^/]+)/?$", ChatConsumer.as_asgi()),
    re_path(r"^ws/notifications/(?P<user_id>[^/]+)/?$", NotificationsConsumer.as_asgi()),
    re_path(r"^ws/workspaces/(?P<workspace_id>[^/]+)/?$", WorkspaceConsumer.as_asgi()),
    re_path(r"^api/v1/ws/plugin/debug/(?P<execution_id>[^/]+)/?$", PluginDebugConsumer.as_asgi()),
    re_path(r"^ws/events/?$", TopicsConsumer.as_asgi()),
    # Keep this one last.
    re_path(r"", NoSuchSocket.as_asgi()),
]
