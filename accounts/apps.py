"""The app's registration with Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Registers accounts."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
