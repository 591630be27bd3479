"""`manage.py prune_notifications`: see `notifications/retention.py`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.exceptions import translated
from notifications import retention
from notifications.conf import conf


class Command(BaseCommand):
    """Deletes notifications that are old. The worker does the same every night."""

    help = "Deletes notifications that were made more than NOTIFICATIONS_RETENTION_DAYS ago, whether they were read or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Three options."""
        parser.add_argument(
            "--older-than-days",
            type=int,
            metavar="DAYS",
            default=conf.NOTIFICATIONS_RETENTION_DAYS,
            help="How long ago a notification must have been made (default: %(default)s, NOTIFICATIONS_RETENTION_DAYS).",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            metavar="NOTIFICATIONS",
            default=retention.BATCH,
            help="How many notifications one transaction deletes (default: %(default)s).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be deleted.")

    def handle(self, *, older_than_days: int, batch_size: int, dry_run: bool, **options: Any) -> None:
        """Prunes, and says after each batch how far it is."""
        progress = self._progress if options["verbosity"] > 0 else None
        try:
            pruned = retention.prune_notifications(
                older_than_days=older_than_days, batch_size=batch_size, dry_run=dry_run, progress=progress
            )
        except Exception as error:
            known = translated(error)
            if known is None:
                raise
            raise CommandError(known.message) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped. What was said to be deleted is gone; the rest is untouched.", returncode=130) from None
        would = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{would} {pruned} notifications made {older_than_days} or more days ago.")

    def _progress(self, pruned: int) -> None:
        self.stdout.write(f"{pruned} notifications so far ...")
        self.stdout.flush()
