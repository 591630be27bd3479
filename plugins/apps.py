"""The app's registration with Django."""

from django.apps import AppConfig

from plugins import oauth_events  # noqa: F401 - registers the event types in every process
from plugins.tools import builtin  # noqa: F401 - registers the tools in every process


class PluginsConfig(AppConfig):
    """Registers plugins."""

    name = "plugins"
    default_auto_field = "django.db.models.BigAutoField"
