"""Django's entry for the app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """What people are told."""

    name = "notifications"
    default_auto_field = "django.db.models.BigAutoField"
