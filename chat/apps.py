"""The app's registration with Django."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Registers chat."""

    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"
