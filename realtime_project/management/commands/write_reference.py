"""`manage.py write_reference`: the pages of docs/reference that follow from the code."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from realtime_project.reference import settings_page
from realtime_project.schema import asyncapi, openapi


class Command(BaseCommand):
    """Writes settings.md, openapi.yaml and asyncapi.yaml there; tests fail when they are not what this would write."""

    help = "Writes settings.md, openapi.yaml and asyncapi.yaml in docs/reference from the code."
    requires_system_checks = []  # noqa: RUF012 - Django's declaration
    requires_migrations_checks = False

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Writes them."""
        reference = settings.BASE_DIR / "docs" / "reference"
        reference.mkdir(parents=True, exist_ok=True)
        pages = {
            "settings.md": settings_page(),
            "openapi.yaml": openapi.as_yaml(openapi.document()),
            "asyncapi.yaml": openapi.as_yaml(asyncapi.document()),
        }
        for name, text in pages.items():
            (reference / name).write_text(text)
            self.stdout.write(f"Wrote docs/reference/{name}.")
