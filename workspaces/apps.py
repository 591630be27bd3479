"""The app's registration with Django."""

from django.apps import AppConfig

from workspaces import team_events  # noqa: F401 - registers the event types in every process


class WorkspacesConfig(AppConfig):
    """Registers workspaces."""

    name = "workspaces"
    default_auto_field = "django.db.models.BigAutoField"
