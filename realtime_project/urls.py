"""Every address, in one place."""

from django.contrib import admin
from django.urls import include, path

from events import connection_views
from events.topics import views as topic_views
from events.views import PublishView, user_feed
from events.webhooks import views as webhook_views
from realtime_project import pages, views
from realtime_project.schema.views import AsyncApiView, OpenApiView

urlpatterns = [
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics),
    path("admin/", admin.site.urls),
    path("api/schema", OpenApiView.as_view()),
    path("api/schema/events", AsyncApiView.as_view()),
    path("api/v1/auth/me", views.MeView.as_view()),
    path("api/v1/auth/", include("accounts.urls")),
    path("api/events", user_feed),
    path("api/v1/events", PublishView.as_view()),
    path("hooks/<str:inlet_id>", webhook_views.WebhookInletView.as_view()),
    path("api/v1/webhooks", include("events.webhooks.urls")),
    path("api/topics", topic_views.topic_stream),
    path("api/v1/topics/publish", topic_views.TopicPublishView.as_view()),
    path("ws/stats", connection_views.stats),
    path("api/v1/ops/connections", connection_views.connections),
    path("api/v1/ops/connections/<str:connection_id>", connection_views.connection),
    path("api/v1/users/<str:user_id>/disconnect", connection_views.disconnect_user),
    path("api/v1/ops", views.overview),
    path("ops", pages.ops, name="ops"),
    path("sources", pages.sources, name="sources"),
    path("explorer", pages.explorer, name="explorer"),
    path("", include("accounts.page_urls")),
    path("", include("knowledge.urls")),
    path("", include("workspaces.urls")),
    path("", include("notifications.urls")),
    path("", include("plugins.urls")),
    path("", include("chat.urls")),
]
