"""Addresses of notifications."""

from django.urls import path

from notifications import views

urlpatterns = [
    path("notifications", views.notifications_page, name="notifications"),
    path("api/v1/notifications", views.NotificationsView.as_view()),
    path("api/v1/notifications/counts", views.CountsView.as_view()),
    path("api/v1/notifications/actions", views.ActionsView.as_view()),
    path("api/v1/notifications/<str:notification_id>", views.NotificationView.as_view()),
    path("api/v1/notifications/<str:notification_id>/<str:action>", views.ActionView.as_view()),
]
