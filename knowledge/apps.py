"""The app's registration with Django."""

from django.apps import AppConfig

from knowledge import ingest_events  # noqa: F401 - registers the event types in every process


class KnowledgeConfig(AppConfig):
    """Registers knowledge."""

    name = "knowledge"
    default_auto_field = "django.db.models.BigAutoField"
