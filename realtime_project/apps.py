"""The app's registration with Django."""

from django.apps import AppConfig


class RealtimeProjectConfig(AppConfig):
    """Registers realtime_project."""

    name = "realtime_project"
    default_auto_field = "django.db.models.BigAutoField"
