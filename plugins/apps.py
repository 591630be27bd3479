"""The app's registration with Django."""

from importlib import import_module

from django.apps import AppConfig

from plugins import execution_events, oauth_events  # noqa: F401 - registers the event types in every process


class PluginsConfig(AppConfig):
    """Registers plugins."""

    name = "plugins"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the tools, whose calls are kept in models."""
        import_module("plugins.tools.builtin")
