"""What a sweep finds in the database, and does there: runs whose worker died, and queued ones that no job is for."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from chat.conf import conf
from chat.jobs import ANSWER_TASK, defer_answer
from chat.models import Run
from chat.services import leases
from chat.services.leases import TakenOver

DEAD = " (dead)"
"""What is added to the name of the worker of a run that was taken over."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A running run whose worker has not written here for a while."""

    message_id: uuid.UUID
    worker: str


def suspects(*, silent_for: float) -> list[Suspect]:
    """Running runs whose workers have been silent for so many seconds, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.message_id, r.worker FROM chat_run r LEFT JOIN chat_worker w ON w.name = r.worker "
            "WHERE r.status = 'running' AND COALESCE(w.beat_at, r.started_at) < now() - make_interval(secs => %s)",
            [silent_for],
        )
        return [Suspect(message_id, worker) for message_id, worker in cursor.fetchall()]


def take_over(*, suspect: Suspect) -> TakenOver | None:
    """Takes a dead worker's run; None when another sweep has it or the run moved on meanwhile."""
    with transaction.atomic():
        taken = leases.take(suspect.message_id, status=Run.Status.RUNNING, worker=suspect.worker)
        if taken is not None:
            # Other sweeps that suspect this worker leave the run alone; should this one die, a later one finds it again.
            Run.objects.filter(pk=taken.message_id).update(worker=suspect.worker.removesuffix(DEAD) + DEAD)
        return taken


def resume(*, taken: TakenOver) -> bool:
    """Gives a dead worker's run that went on after its approvals to another worker; False: it is to be ended.

    What was approved must be done, also when the first worker that was to do it has died. What has been done is not done
    again (see `chat.tools`), and a run whose engine has written since is ended by its next worker.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=taken.message_id, status=Run.Status.RUNNING, lease=taken.lease).first()
        if run is None or run.continuation is None or run.stop_requested_at is not None:
            return False
        resumes = run.continuation.get("resumes", 0) + 1
        if resumes > conf.APPROVAL_RESUMES:
            return False
        run.continuation["resumes"] = resumes
        run.status, run.worker = Run.Status.QUEUED, ""
        run.save(update_fields=["status", "worker", "continuation"])
        defer_answer(run.pk)
        return True


def requeue_forgotten() -> int:
    """Defers queued runs again that have no waiting job: their worker died between taking the job and claiming the run."""
    before = timezone.now() - timedelta(seconds=conf.RUN_LEASE_SECONDS)
    with transaction.atomic():
        queued = list(
            Run.objects.select_for_update(skip_locked=True)
            .filter(status=Run.Status.QUEUED, created_at__lt=before)
            .values_list("pk", flat=True)[:500]
        )
        if not queued:
            return 0
        # A job that is being done waits for room in a living worker; those say several times within a lease that they live.
        silent = timedelta(seconds=conf.RUN_LEASE_SECONDS * 2 / 3)
        living = ProcrastinateWorker.objects.filter(last_heartbeat__gt=timezone.now() - silent)
        jobs = ProcrastinateJob.objects.filter(
            Q(status="todo") | Q(status="doing", worker__in=living),
            task_name=ANSWER_TASK,
            args__message_id__in=[str(pk) for pk in queued],
        )
        waiting = set(jobs.values_list("args__message_id", flat=True))
        forgotten = [pk for pk in queued if str(pk) not in waiting]
        for pk in forgotten:
            defer_answer(pk)
        return len(forgotten)
