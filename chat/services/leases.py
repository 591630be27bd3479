"""The right to drive a run or to end it: a number. Whoever holds an older one has lost the run."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from chat.models import Run
from chat.services.responding import message_stream
from events import journal
from events.exceptions import LeaseLost


def next_lease(message_id: uuid.UUID) -> int | None:
    """A new lease number, None when the stream has ended.

    It locks the stream's row, and always before the run's, as the writing of a run's end does: in the other
    order two processes could wait for each other.
    """
    try:
        return journal.take_lease(stream=message_stream(message_id))
    except LeaseLost:
        return None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A run that the caller now holds the lease of, to end it."""

    message_id: uuid.UUID
    conversation_id: uuid.UUID
    lease: int
    stop_requested: bool = False


def take(message_id: uuid.UUID, **wanted: Any) -> TakenOver | None:
    """Takes a run from whoever has it; None when it has ended, or is not as `wanted` (a filter of its row)."""
    with transaction.atomic():
        lease = next_lease(message_id)
        run = Run.objects.select_for_update(of=("self",)).select_related("message").filter(pk=message_id, **wanted).first()
        if lease is None or run is None:
            transaction.set_rollback(True)
            return None
        run.lease = lease
        run.save(update_fields=["lease"])
        return TakenOver(run.pk, run.message.conversation_id, lease, run.stop_requested_at is not None)
