"""Django's entry for the app."""

from importlib import import_module

from django.apps import AppConfig

from notifications import notification_events  # noqa: F401 - registers the event types in every process


class NotificationsConfig(AppConfig):
    """What people are told."""

    name = "notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connects the receivers, which import models."""
        import_module("notifications.receivers")
