"""The life of a run in the database: claimed, kept alive, stopped, ended, found dead."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from accounts.caller import Caller
from chat.approvals.deciding import close_open
from chat.conf import conf
from chat.engines.base import EngineRequest, Turn
from chat.engines.text import clean_json
from chat.jobs import ANSWER_TASK, defer_answer
from chat.metrics import ENDED
from chat.models import Application, Approval, Job, Message, Run, Worker
from chat.run_events import Type
from chat.services import conversations, responding, telling, usage
from chat.services.responding import message_stream
from chat.snapshot import Snapshot
from events import journal
from events.event import Event, EventId
from events.exceptions import LeaseLost
from events.publishing import now_ms


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


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: the terminal event's type and data, and what the run's row keeps of it."""

    type: Type
    code: str = ""
    message: str = ""
    retryable: bool = False
    finish_reason: str = ""

    @property
    def status(self) -> str:
        """The final status."""
        return self.type.value.removeprefix("run.")

    def data(self, conversation_id: uuid.UUID) -> dict[str, Any]:
        """The terminal event's data."""
        data: dict[str, Any] = {"conversation_id": str(conversation_id)}
        if self.type is Type.FAILED:
            data |= {"code": self.code, "message": self.message, "retryable": self.retryable}
        elif self.type is Type.COMPLETED:
            data |= {"finish_reason": self.finish_reason}
        return data


CANCELLED = Ending(Type.CANCELLED)
WORKER_DIED = Ending(
    Type.FAILED, "producer_stale", "The worker that wrote this answer died. The text so far is kept; ask again.", True
)
WORKER_STOPPED = Ending(Type.FAILED, "worker_stopped", "The server was restarted during this answer. Ask again.", True)
DEAD = " (dead)"
"""What is added to the name of the worker of a run that was taken over."""


def claim(*, message_id: uuid.UUID, worker: str) -> Claim | None:
    """Makes a queued run this worker's; None when it is no longer queued (a job may be delivered twice)."""
    with transaction.atomic():
        lease = _lease(message_id)
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
            _request(run),
            run.context.get("grounding"),
            run.requested_by_id,
            _tools(run),
            run.continuation,
            _decided(run),
            _job(run),
        )


def keep_continuation(*, claim: Claim, continuation: dict[str, Any]) -> None:
    """Has another worker go on from here, should this one die (see `resume`). Raises `LeaseLost`."""
    ours = Run.objects.filter(pk=claim.message_id, status=Run.Status.RUNNING, lease=claim.lease)
    if not ours.update(continuation=clean_json(continuation)):
        raise LeaseLost


def _job(run: Run) -> JobClaim | None:
    job = Job.objects.select_related("session").filter(pk=run.pk).first()
    if job is None:
        return None
    return JobClaim(job.session.name, job.version_id, job.mode == Job.Mode.ASK_EVERY_TIME, job.turn, job.usage)


def _lease(message_id: uuid.UUID) -> int | None:
    """A new lease number, None when the stream has ended.

    It locks the stream's row, and always before the run's, as the writing of a run's end does: in the other
    order two processes could wait for each other.
    """
    try:
        return journal.take_lease(stream=message_stream(message_id))
    except LeaseLost:
        return None


def _decided(run: Run) -> dict[str, Approval]:
    if run.continuation is None or "batch" not in run.continuation:
        return {}
    return {each.subject: each for each in run.approvals.filter(batch_id=run.continuation["batch"])}


def _tools(run: Run) -> tuple[str, ...]:
    """The application's tools; of them those that the request wanted, if it named any."""
    application = _application(run)
    given = application.tools if application else []
    wanted = run.context.get("tools")
    return tuple(name for name in given if wanted is None or name in wanted)


def _application(run: Run) -> Application | None:
    """As which it answers: in a room an agent, else the application of the conversation."""
    return run.message.application or run.message.conversation.application


def _request(run: Run) -> EngineRequest:
    application = _application(run)
    question, history = _so_far(run.message)
    attachments = tuple((item["name"], item["text"]) for message in [*history, question] for item in message.attachments)
    turns = _given_turns(run.context) or tuple(_turn(each, run.message) for each in history if each.text)
    options = run.options | ({"model": application.model} if application and application.model else {})
    own_prompt = application.system_prompt if application else ""
    prompts = [run.context.get("system_prompt") or own_prompt or conf.CHAT_SYSTEM_PROMPT, *_given_prompts(run.context)]
    return EngineRequest(question.text, turns, "\n\n".join(prompts), attachments, options)


def _so_far(answer: Message) -> tuple[Message, list[Message]]:
    """What an answer answers, and what was said before that, in its order. Other answers to the same are not part of it."""
    said = Message.objects.select_related("author", "application")
    question = conversations.question_of(answer, said)
    if question is None:
        raise Message.DoesNotExist(f"What {answer.pk} answers is gone.")
    before = said.filter(conversation_id=answer.conversation_id, position__lt=question.position).order_by("-position")
    return question, list(before[: conf.CHAT_HISTORY_MESSAGES])[::-1]


def _turn(said: Message, answer: Message) -> Turn:
    """A message as the engine is told it: in a room only an agent's own are the assistant's, and others' have their names."""
    is_answer = said.role == Message.Role.ASSISTANT
    if not answer.conversation.type:
        return Turn("assistant" if is_answer else "user", said.text)
    if is_answer and said.application_id == answer.application_id:
        return Turn("assistant", said.text)
    return Turn("user", f"{conversations.speaker(said)}: {said.text}")


def _given_turns(context: dict[str, Any]) -> tuple[Turn, ...]:
    """The history that came with the request; a `system` turn is part of the prompt."""
    given = context.get("history") or []
    return tuple(Turn(turn["role"], turn["content"]) for turn in given if turn["role"] != "system")


def _given_prompts(context: dict[str, Any]) -> list[str]:
    return [turn["content"] for turn in context.get("history") or [] if turn["role"] == "system"]


def queued(*, limit: int) -> list[uuid.UUID]:
    """The runs that have waited longest for a worker."""
    waiting = Run.objects.filter(status=Run.Status.QUEUED, stop_requested_at=None).order_by("created_at")
    return list(waiting.values_list("pk", flat=True)[:limit])


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


def settle(*, message_id: uuid.UUID, ending: Ending, snapshot: Snapshot) -> Callable[[], None]:
    """The final state of message and run, to be written in the transaction that writes the terminal event."""

    def write() -> None:
        run = Run.objects.select_for_update(of=("self",)).select_related("message__conversation").get(pk=message_id)
        run.status, run.ended_at, run.head = ending.status, timezone.now(), snapshot.head
        run.error_code, run.error, run.retryable = ending.code, ending.message, ending.retryable
        run.finish_reason, run.usage = ending.finish_reason, snapshot.usage
        run.continuation = None
        run.save()
        close_open(run, reason=ending.status)
        _settle_job(run, snapshot.result)
        message = run.message
        message.run = run
        message.text, message.thought = "".join(snapshot.text), "".join(snapshot.thought)
        message.sources, message.tool_calls = snapshot.sources, snapshot.tool_calls
        message.save(update_fields=["text", "thought", "sources", "tool_calls"])
        telling.answer_changed(message=message, type=Type.MESSAGE_FINISHED, status=ending.status)
        responding.pass_on(answer=message, run=run)
        transaction.on_commit(ENDED.labels(ending.status, ending.code).inc, robust=True)

    return write


def _settle_job(run: Run, result: dict[str, Any] | None) -> None:
    """Keeps what a job came to; one that did not complete costs its account nothing."""
    job = Job.objects.filter(pk=run.pk).first()
    if job is None:
        return
    if run.status == Run.Status.COMPLETED:
        job.result = result
    else:
        after = usage.give_back(user_pk=run.requested_by_id, month=job.month)
        job.usage = after.data if after else job.usage | {"was_billable": False}
    job.save(update_fields=["result", "usage"])


def last_events(*, snapshot: Snapshot, ending: Ending, conversation_id: uuid.UUID) -> list[Event]:
    """What is missing at the end of a stream: the end of an open block, then the terminal event."""
    missing: list[tuple[str, dict[str, Any]]] = []
    if snapshot.open_block is not None:
        family, block = snapshot.open_block
        missing.append((f"{family}.end", {"block": block}))
    missing.append((ending.type, ending.data(conversation_id)))
    events = [Event(EventId(seq, 0), type_, data, now_ms()) for seq, (type_, data) in enumerate(missing, start=snapshot.head + 1)]
    for event in events:
        snapshot.head = event.id.major
        snapshot.add(event.type, event.data)
    return events


def end(*, message_id: uuid.UUID, conversation_id: uuid.UUID, lease: int, events: Sequence[Event], ending: Ending) -> list[Event]:
    """Ends a run from outside its worker, under a lease of the caller's own; the events added. Raises `LeaseLost`.

    `events`: the whole stream so far, as broker and journal have it.
    """
    snapshot = Snapshot.of(events)
    added = last_events(snapshot=snapshot, ending=ending, conversation_id=conversation_id)
    also = settle(message_id=message_id, ending=ending, snapshot=snapshot)
    journal.end(stream=message_stream(message_id), lease=lease, events=[*events, *added], also=also)
    return added


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A run that the caller now holds the lease of, to end it."""

    message_id: uuid.UUID
    conversation_id: uuid.UUID
    lease: int
    stop_requested: bool = False


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
    return _take_over(message_id, status__in=(Run.Status.QUEUED, Run.Status.AWAITING_APPROVAL))


def stop_requested(*, message_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these runs their users want stopped."""
    return list(Run.objects.filter(pk__in=message_ids, stop_requested_at__isnull=False).values_list("pk", flat=True))


def beat(*, worker: str) -> None:
    """Writes a worker's sign of life, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_worker (name, started_at, beat_at) VALUES (%s, now(), now()) "
            "ON CONFLICT (name) DO UPDATE SET beat_at = now()",
            [worker],
        )


def forget_worker(*, worker: str) -> None:
    """Removes a worker that has stopped, and those that died more than a day ago."""
    Worker.objects.filter(name=worker).delete()
    Worker.objects.filter(beat_at__lt=timezone.now() - timedelta(days=1)).delete()


@dataclass(frozen=True, slots=True)
class Suspect:
    """A running run whose worker has not written here for `silent` seconds."""

    message_id: uuid.UUID
    worker: str
    silent: float


def suspects(*, silent_for: float) -> list[Suspect]:
    """Running runs whose workers have been silent for so many seconds, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.message_id, r.worker, EXTRACT(EPOCH FROM now() - COALESCE(w.beat_at, r.started_at)) "
            "FROM chat_run r LEFT JOIN chat_worker w ON w.name = r.worker "
            "WHERE r.status = 'running' AND COALESCE(w.beat_at, r.started_at) < now() - make_interval(secs => %s)",
            [silent_for],
        )
        return [Suspect(message_id, worker, float(silent)) for message_id, worker, silent in cursor.fetchall()]


def take_over(*, suspect: Suspect) -> TakenOver | None:
    """Takes a dead worker's run; None when another sweep has it or the run moved on meanwhile."""
    with transaction.atomic():
        taken = _take_over(suspect.message_id, status=Run.Status.RUNNING, worker=suspect.worker)
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


def _take_over(message_id: uuid.UUID, **wanted: Any) -> TakenOver | None:
    with transaction.atomic():
        lease = _lease(message_id)
        run = Run.objects.select_for_update(of=("self",)).select_related("message").filter(pk=message_id, **wanted).first()
        if lease is None or run is None:
            transaction.set_rollback(True)
            return None
        run.lease = lease
        run.save(update_fields=["lease"])
        return TakenOver(run.pk, run.message.conversation_id, lease, run.stop_requested_at is not None)


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


def counts() -> dict[str, int]:
    """How many runs are in each open status."""
    found = Run.objects.filter(status__in=Run.OPEN).values_list("status").annotate(Count("pk"))
    return {status.value: 0 for status in Run.OPEN} | dict(found)
