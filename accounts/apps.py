"""The app's registration with Django."""

from importlib import import_module

from django.apps import AppConfig
from django.core.checks import register

from accounts.checks import check_settings


class AccountsConfig(AppConfig):
    """Registers accounts."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the settings checked with everything else, and connect the receivers, which import models."""
        register(check_settings, "accounts")
        import_module("accounts.receivers")
