"""`manage.py prune_message_events`: see `events/retention.py` and `events/webhooks/retention.py`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events import retention
from events.conf import conf
from events.exceptions import translated
from events.journal import Pruned
from events.webhooks import retention as webhook_retention


class Command(BaseCommand):
    """Deletes the journals of streams that ended long ago. The worker does the same every night."""

    help = (
        "Deletes streams that ended more than MESSAGE_EVENTS_RETENTION_DAYS ago from the journal. "
        "Their answers stay: they are told from their messages. And webhook deliveries older than WEBHOOK_RETENTION_DAYS."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Three options."""
        parser.add_argument(
            "--older-than-days",
            type=int,
            metavar="DAYS",
            default=conf.MESSAGE_EVENTS_RETENTION_DAYS,
            help="How long ago a stream must have ended (default: %(default)s, MESSAGE_EVENTS_RETENTION_DAYS).",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            metavar="EVENTS",
            default=retention.BATCH_EVENTS,
            help="About how many events one transaction deletes (default: %(default)s).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be deleted.")

    def handle(self, *, older_than_days: int, batch_size: int, dry_run: bool, **options: Any) -> None:
        """Prunes, and says after each batch how far it is."""
        progress = self._progress if options["verbosity"] > 0 else None
        try:
            pruned = retention.prune_journal(
                older_than_days=older_than_days, batch_size=batch_size, dry_run=dry_run, progress=progress
            )
            deliveries = webhook_retention.prune_deliveries(dry_run=dry_run)
        except Exception as error:
            known = translated(error)
            if known is None:
                raise
            raise CommandError(known.message) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped. What was said to be deleted is gone; the rest is untouched.", returncode=130) from None
        would = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{would} {pruned.events} events of {pruned.streams} streams ended {older_than_days} or more days ago.")
        self.stdout.write(f"{would} {deliveries} webhook deliveries older than {conf.WEBHOOK_RETENTION_DAYS} days.")

    def _progress(self, pruned: Pruned) -> None:
        self.stdout.write(f"{pruned.events} events of {pruned.streams} streams so far ...")
        self.stdout.flush()
