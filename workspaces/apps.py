"""The app's registration with Django."""

from importlib import import_module

from django.apps import AppConfig

from workspaces import team_events, workspace_events  # noqa: F401 - registers the event types in every process


class WorkspacesConfig(AppConfig):
    """Registers workspaces."""

    name = "workspaces"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connects the receivers, which import models."""
        import_module("workspaces.receivers")
