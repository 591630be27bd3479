"""`manage.py prepare_database`: tables, and something to look at in an empty database."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from realtime_project.conf import conf
from realtime_project.demo import ensure_demo
from realtime_project.logs import redacted


class Command(BaseCommand):
    """Migrates, then makes the demo data when DEMO_DATA says so; safe to run again."""

    help = "Applies the migrations and, with DEMO_DATA, makes the demo organisation and users in a database without users."
    requires_system_checks = []  # noqa: RUF012 - the checks may ask for tables that are not there yet
    requires_migrations_checks = False

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Runs both."""
        try:
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        except OperationalError as error:
            raise CommandError(f"The tables could not be made: {redacted(str(error).strip())}") from error
        if conf.DEMO_DATA and (said := ensure_demo()):
            self.stdout.write(said)
