"""The app's registration with Django."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register


class ChatConfig(AppConfig):
    """Registers chat."""

    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the tool that searches, and who takes part in what, which import models."""
        import_module("chat.source_search")
        import_module("chat.notified")
        # Who may be asked is looked up in models, too.
        register(import_module("chat.checks").check_settings, "chat")
