"""The app's registration with Django."""

from django.apps import AppConfig


class WorkspacesConfig(AppConfig):
    """Registers workspaces."""

    name = "workspaces"
    default_auto_field = "django.db.models.BigAutoField"
