"""Addresses of plugins."""

from django.urls import path

from plugins import views

urlpatterns = [
    path("api/v1/connections", views.ConnectionsView.as_view()),
    path("api/v1/connections/<str:connection_id>", views.ConnectionView.as_view()),
    path(views.CALLBACK_PATH.removeprefix("/"), views.callback, name="oauth-callback"),
]
