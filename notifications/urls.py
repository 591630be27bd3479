"""Addresses of notifications."""

from django.urls import path

from notifications import rule_views, views

urlpatterns = [
    path("notifications", views.notifications_page, name="notifications"),
    path("api/v1/notifications", views.NotificationsView.as_view()),
    path("api/v1/notifications/counts", views.CountsView.as_view()),
    path("api/v1/notifications/actions", views.ActionsView.as_view()),
    path("api/v1/notifications/rules", rule_views.RulesView.as_view()),
    path("api/v1/notifications/rules/rehearsal", rule_views.RehearsalView.as_view()),
    path("api/v1/notifications/rules/<str:rule_id>", rule_views.RuleView.as_view()),
    path("api/v1/notifications/preferences", rule_views.PreferencesView.as_view()),
    path("api/v1/notifications/activity", rule_views.ActivityView.as_view()),
    path("api/v1/push/key", rule_views.PushKeyView.as_view()),
    path("api/v1/push/subscriptions", rule_views.PushSubscriptionsView.as_view()),
    path("notifications/settings", views.settings_page),
    path("notifications/unsubscribe/<str:token>", views.unsubscribe_page),
    path("notifications/push-worker.js", views.push_worker),
    path("api/v1/notifications/<str:notification_id>", views.NotificationView.as_view()),
    path("api/v1/notifications/<str:notification_id>/<str:action>", views.ActionView.as_view()),
]
