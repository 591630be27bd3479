"""`manage.py serve`: the whole server with one command."""

import contextlib
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from realtime_project.serving.errors import ServingError
from realtime_project.serving.server import Server


class Command(BaseCommand):
    """Starts the stores that are not configured, prepares the database, runs web processes and the worker."""

    help = "Runs the whole server: embedded Postgres and Valkey where none are set, migrations, web processes, worker."
    # The checks look at the database, which is not there before this command starts it.
    requires_system_checks = []  # noqa: RUF012 - Django's declaration
    requires_migrations_checks = False

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Serves until SIGTERM or Ctrl-C."""
        try:
            orderly = Server(self._say).run()
        except ServingError as error:
            raise CommandError(str(error)) from error
        if not orderly:
            sys.exit(1)

    def _say(self, line: str) -> None:
        # A terminal that is gone must not keep the server from stopping in order.
        with contextlib.suppress(OSError):
            self.stdout.write(line)
            self.stdout.flush()
