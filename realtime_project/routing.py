"""Every socket's address, in one place; with and without a trailing slash."""

from django.urls import URLPattern

websocket_urlpatterns: list[URLPattern] = []
