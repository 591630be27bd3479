"""A worker has a run: claimed, known to go on from a place, handed back, or left to the sweep."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from chat.engines.base import EngineRequest
from chat.engines.text import clean_json
from chat.jobs import defer_answer
from chat.models import Approval, Job, Run
from chat.services.engine_requests import engine_request, tools_of
from chat.services.leases import next_lease
from events.exceptions import LeaseLost


@dataclass(frozen=True, slots=True)
class JobClaim:
    """What is to be known of a job while its run is driven. `version_id`: of the document to edit; None: just an answer."""

    session: str
    version_id: uuid.UUID | None
    asks: bool
    turn: int
    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker may drive, under its lease number."""

    message_id: uuid.UUID
    conversation_id: uuid.UUID
    lease: int
    engine: str
    request: EngineRequest
    grounding: dict[str, Any] | None = None
    requested_by: int | None = None
    tools: tuple[str, ...] = ()
    """Names of the tools it may call."""
    continuation: dict[str, Any] | None = None
    """Where it goes on after its approvals; None: it begins."""
    decided: dict[str, Approval] = field(default_factory=dict)
    """What was decided, by the subject of each approval."""
    job: JobClaim | None = None


def claim(*, message_id: uuid.UUID, worker: str) -> Claim | None:
    """Makes a queued run this worker's; None when it is no longer queued (a job may be delivered twice)."""
    with transaction.atomic():
        lease = next_lease(message_id)
        queued = Run.objects.select_for_update(of=("self",)).filter(pk=message_id, status=Run.Status.QUEUED)
        run = queued.select_related("message__application", "message__conversation__application").first()
        if lease is None or run is None:
            transaction.set_rollback(True)
            return None
        run.lease, run.status, run.worker, run.started_at = lease, Run.Status.RUNNING, worker, timezone.now()
        run.save(update_fields=["lease", "status", "worker", "started_at"])
        return Claim(
            message_id,
            run.message.conversation_id,
            run.lease,
            run.engine,
            engine_request(run),
            run.context.get("grounding"),
            run.requested_by_id,
            tools_of(run),
            run.continuation,
            _decided(run),
            _job(run),
        )


def _job(run: Run) -> JobClaim | None:
    job = Job.objects.select_related("session").filter(pk=run.pk).first()
    if job is None:
        return None
    return JobClaim(job.session.name, job.version_id, job.mode == Job.Mode.ASK_EVERY_TIME, job.turn, job.usage)


def _decided(run: Run) -> dict[str, Approval]:
    if run.continuation is None or "batch" not in run.continuation:
        return {}
    return {each.subject: each for each in run.approvals.filter(batch_id=run.continuation["batch"])}


def keep_continuation(*, claim: Claim, continuation: dict[str, Any]) -> None:
    """Has another worker go on from here, should this one die (see `sweeping.resume`). Raises `LeaseLost`."""
    ours = Run.objects.filter(pk=claim.message_id, status=Run.Status.RUNNING, lease=claim.lease)
    if not ours.update(continuation=clean_json(continuation)):
        raise LeaseLost


def hand_back(*, claim: Claim) -> bool:
    """Returns a run that has produced nothing to the queue; False when it is no longer ours."""
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=claim.message_id, status=Run.Status.RUNNING, lease=claim.lease).first()
        if run is None:
            return False
        run.status, run.worker = Run.Status.QUEUED, ""
        run.save(update_fields=["status", "worker"])
        defer_answer(run.pk)
        return True


def disown(*, claim: Claim) -> None:
    """Leaves a run that this worker failed to drive to the next sweep."""
    Run.objects.filter(pk=claim.message_id, status=Run.Status.RUNNING, lease=claim.lease).update(worker="")


def disown_forgotten(*, worker: str, driven: Collection[uuid.UUID], before: datetime) -> int:
    """Leaves to the next sweep what is the worker's here, and not among those that it drove or claimed at `before`; how many.

    A claim whose transaction the database took, and whose answer was lost with the connection, would stay open as long
    as its worker lives. `before` is by the worker's clock, as is the time of the claim.
    """
    ours = Run.objects.filter(worker=worker, status=Run.Status.RUNNING, started_at__lt=before)
    return ours.exclude(pk__in=driven).update(worker="")
