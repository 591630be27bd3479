"""How long the journal keeps what has ended: what the nightly task and `prune_message_events` both call."""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from events import journal
from events.conf import conf
from events.exceptions import InvalidRequest
from events.journal import Pruned

BATCH_EVENTS = 5000
MOST_DAYS = 36_500


def prune_journal(
    *,
    older_than_days: int | None = None,
    batch_size: int = BATCH_EVENTS,
    dry_run: bool = False,
    progress: Callable[[Pruned], None] | None = None,
) -> Pruned:
    """Deletes the durable streams that ended more than so many days ago (None: MESSAGE_EVENTS_RETENTION_DAYS).

    Nothing that a reader may still ask for is lost: an ended answer is then told from its message's row. The
    stream's own row goes too: it guards its writer, and an ended stream has none. `batch_size`: about how many
    events one transaction deletes. Raises `InvalidRequest` for numbers that make no sense.
    """
    days = conf.MESSAGE_EVENTS_RETENTION_DAYS if older_than_days is None else older_than_days
    if not 0 <= days <= MOST_DAYS:
        raise InvalidRequest(f"Streams can be kept for 0 to {MOST_DAYS} days, not {days}.")
    if batch_size < 1:
        raise InvalidRequest(f"A batch has at least 1 event, not {batch_size}.")
    before = timezone.now() - timedelta(days=days)
    return journal.prune(before=before, batch_size=batch_size, dry_run=dry_run, progress=progress)
