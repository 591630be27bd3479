"""The app's registration with Django."""

from importlib import import_module

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Registers events."""

    name = "events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connects the receivers, which import models."""
        import_module("events.receivers")
