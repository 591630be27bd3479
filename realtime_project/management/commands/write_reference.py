"""`manage.py write_reference`: the pages of docs/reference that follow from the code."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from realtime_project.reference import settings_page


class Command(BaseCommand):
    """Writes docs/reference/settings.md; a test fails when it is not what this would write."""

    help = "Writes docs/reference/settings.md from the apps' conf.py."
    requires_system_checks = []  # noqa: RUF012 - Django's declaration
    requires_migrations_checks = False

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Writes the page."""
        page = settings.BASE_DIR / "docs" / "reference" / "settings.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(settings_page())
        self.stdout.write(f"Wrote {page.relative_to(settings.BASE_DIR)}.")
