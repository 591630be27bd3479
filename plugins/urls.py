"""Addresses of plugins."""

from django.urls import path

from plugins import execution_views, views

urlpatterns = [
    path("plugins", execution_views.plugins_page, name="plugins"),
    path("api/v1/connections", views.ConnectionsView.as_view()),
    path("api/v1/connections/<str:connection_id>", views.ConnectionView.as_view()),
    path("api/v1/plugins", execution_views.PluginsView.as_view()),
    path("api/v1/plugins/executions", execution_views.ExecutionsView.as_view()),
    path("api/v1/plugins/executions/<str:execution_id>", execution_views.ExecutionView.as_view()),
    path("api/v1/plugins/executions/<str:execution_id>/events", execution_views.ExecutionEventsView.as_view()),
    path("api/v1/plugins/<str:plugin_id>/executions", execution_views.PluginExecutionsView.as_view()),
    path(views.CALLBACK_PATH.removeprefix("/"), views.callback, name="oauth-callback"),
]
