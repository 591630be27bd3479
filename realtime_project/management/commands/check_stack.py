"""`manage.py check_stack`: whether the parts behind the server are well."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from realtime_project.stack import check_stack


class Command(BaseCommand):
    """Prints one line for each check; the exit code is 1 when one failed."""

    help = (
        "Examines database, migrations, worker, outbox and broker, and publishes two events to a stream of its own, "
        "which the broker forgets after EVENTS_REPLAY_MAX_AGE_HOURS."
    )
    requires_system_checks = []  # noqa: RUF012 - the checks may ask for tables that are not there
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One option."""
        parser.add_argument("--json", action="store_true", help="One JSON object: ok, and checks with name, ok, says.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Checks, and says what was found."""
        checks = check_stack()
        ok = all(check.ok for check in checks)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
        else:
            for check in checks:
                self.stdout.write(f"{'ok' if check.ok else 'FAIL':<4}  {check.name:<11}  {check.says}")
        if not ok:
            sys.exit(1)
