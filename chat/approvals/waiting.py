"""What happens while nobody decides: a reminder, a second group, and in the end that it is too late. Runs on every worker."""

import asyncio
import logging
from collections.abc import Callable
from itertools import groupby

from django.db import transaction
from django.db.models.functions import Now

from accounts.threads import in_thread
from chat.approvals import telling
from chat.approvals.deciding import expire_due
from chat.conf import conf
from chat.jobs import defer_approval_mails
from chat.models import Approval, ApprovalStep, Run
from events import journal
from events.exceptions import ThroughlineError

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
LIMIT = 200


async def wait_forever() -> None:
    """Looks every two seconds, until cancelled. Any number of processes may do so at once."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for look in (expire_due, escalate_due, remind_due):
            try:
                await in_thread(look)
            except (ThroughlineError, *journal.UNREACHABLE) as error:
                logger.warning("Open approvals could not be looked at: %s", error)
            except Exception:
                logger.exception("Open approvals could not be looked at.")


@transaction.atomic
def remind_due() -> int:
    """Tells those who may decide once more; how many approvals it was about."""
    return _each_batch("reminds_at", _remind)


@transaction.atomic
def escalate_due() -> int:
    """Lets the second group decide, too, and tells everybody; how many approvals it was about."""
    return _each_batch("escalates_at", _escalate)


def _each_batch(due: str, do: Callable[[Run, list[Approval]], None]) -> int:
    # Skipped where they are locked: somebody is deciding, or another process is here.
    rows = Approval.objects.select_for_update(skip_locked=True).filter(
        status=Approval.Status.PENDING, expires_at__gt=Now(), **{f"{due}__lte": Now()}
    )
    found = list(rows.order_by("batch_id", "position")[:LIMIT])
    for _, group in groupby(found, key=lambda each: each.batch_id):
        batch = list(group)
        run = Run.objects.select_related("message__conversation__application").get(pk=batch[0].run_id)
        do(run, batch)
        Approval.objects.filter(pk__in=[each.pk for each in batch]).update(**{due: None})
    return len(found)


def _remind(run: Run, batch: list[Approval]) -> None:
    _note(batch, "reminded")
    telling.required(run=run, approvals=batch, reminder=True)
    if conf.APPROVAL_MAIL:
        defer_approval_mails(batch[0].batch_id)


def _escalate(run: Run, batch: list[Approval]) -> None:
    for each in batch:
        each.deciders = [*each.deciders, *(word for word in each.escalates_to if word not in each.deciders)]
        each.save(update_fields=["deciders"])
    _note(batch, "escalated")
    telling.required(run=run, approvals=batch, reminder=True)
    if conf.APPROVAL_MAIL:
        defer_approval_mails(batch[0].batch_id)


def _note(batch: list[Approval], what: str) -> None:
    ApprovalStep.objects.bulk_create([ApprovalStep(approval=each, what=what) for each in batch])
