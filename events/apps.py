"""The app's registration with Django."""

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Registers events."""

    name = "events"
    default_auto_field = "django.db.models.BigAutoField"
