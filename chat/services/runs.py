"""Runs as others see them: which wait for a worker, how many are open, and that one is to stop.

What becomes of one: a worker claims it (`claiming`, under a lease: `leases`; what it asks its engine: `engine_requests`)
and drives it (`chat.driver`); it ends (`endings`). The sweep finds it when its worker has died (`workers`, `sweeping`).
"""

import uuid
from collections.abc import Sequence

from django.db.models import Count
from django.utils import timezone

from accounts.caller import Caller
from chat.models import Run
from chat.services import conversations, leases
from chat.services.leases import TakenOver


def queued(*, limit: int) -> list[uuid.UUID]:
    """The runs that have waited longest for a worker."""
    waiting = Run.objects.filter(status=Run.Status.QUEUED, stop_requested_at=None).order_by("created_at")
    return list(waiting.values_list("pk", flat=True)[:limit])


def request_stop(*, caller: Caller, message_id: uuid.UUID) -> TakenOver | None:
    """Asks for a run's end; a run that no worker has claimed is the caller's to end at once. Raises `NotFound`, `Forbidden`."""
    message = conversations.message_of(caller=caller, message_id=message_id)
    conversations.refuse_readers(caller=caller, conversation_id=message.conversation_id)
    run = message.run
    if run.status not in Run.OPEN:
        return None
    # Before the run is taken: should this process die then, whoever claims the run knows.
    Run.objects.filter(pk=message_id, status__in=Run.OPEN, stop_requested_at=None).update(stop_requested_at=timezone.now())
    # Looked at again: it may have begun to wait for an approval in between, before it could know of the stop.
    if Run.objects.filter(pk=message_id, status=Run.Status.RUNNING).exists():
        return None
    return leases.take(message_id, status__in=(Run.Status.QUEUED, Run.Status.AWAITING_APPROVAL))


def stop_requested(*, message_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these runs their users want stopped."""
    return list(Run.objects.filter(pk__in=message_ids, stop_requested_at__isnull=False).values_list("pk", flat=True))


def counts() -> dict[str, int]:
    """How many runs are in each open status."""
    found = Run.objects.filter(status__in=Run.OPEN).values_list("status").annotate(Count("pk"))
    return {status.value: 0 for status in Run.OPEN} | dict(found)
