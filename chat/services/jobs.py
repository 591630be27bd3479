"""Jobs of seed 003: accepted, found, decided about, cancelled. A job is a run; its id is that of the answer's message."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Max, QuerySet

from accounts.caller import Caller
from chat.approvals.deciding import Decision, decide_all
from chat.models import Approval, ChatSession, DocumentVersion, Job, Message, Run
from chat.services import answers, documents, questions, sessions, usage
from chat.services.questions import Question
from events.exceptions import Conflict, InvalidRequest, NotFound

CONVERSATION = "v1/jobs"
"""The name of the one conversation of a session that its jobs are in."""


class SessionBusy(Conflict):
    """Another job of this session is not over. Wait for it, decide about what it proposes, or cancel it."""

    code = "session_busy"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked request for a job. `session` empty: a new one. A document is given, or named, or the session's newest."""

    message: str
    session: str = ""
    mode: str = Job.Mode.APPROVE_ALL
    document_html: str | None = None
    document_id: uuid.UUID | None = None
    title: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def begin(*, caller: Caller, asked: NewJob, idempotency_key: str = "", body: bytes = b"") -> Job:
    """Accepts a job; with an `idempotency_key` that was used before, the same one again.

    Raises `SessionBusy`, `usage.UsedUp`, and as `questions.ask` and `documents.store`.
    """
    session = sessions.resolve(caller=caller, name=asked.session or f"session_{secrets.token_hex(8)}")

    def also(answer: Message) -> None:
        # The conversation is locked: of two jobs at once the second finds the first.
        _refuse_busy(session)
        usage.refuse_used_up(user_pk=caller.pk)
        turn = 1 + (session.jobs.aggregate(last=Max("turn"))["last"] or 0)
        version = _version(caller, asked, answer.conversation_id, turn)
        # Last: the end of another job waits for the same row, holding its run.
        month, used = usage.take(user_pk=caller.pk)
        fields = {"mode": asked.mode, "turn": turn, "month": month, "usage": used.data}
        Job.objects.create(run_id=answer.pk, session=session, version=version, **fields)

    question = Question(asked.message, conversation=CONVERSATION, session=session, options=asked.options, also=also)
    answer = questions.ask(caller=caller, question=question, idempotency_key=idempotency_key, body=body)
    return find(caller=caller, job_id=answer.pk)


def _refuse_busy(session: ChatSession) -> None:
    open_ = Run.objects.filter(job__session=session, status__in=Run.OPEN).first()
    if open_ is not None:
        raise SessionBusy(
            f"The job {open_.pk} of this session is {open_.status}. Wait for it, decide about what it proposes, or cancel it."
        )


def _version(caller: Caller, asked: NewJob, conversation_id: uuid.UUID, turn: int) -> DocumentVersion | None:
    """The version to begin with. What comes with a question is how the turn before ended: going back there brings it back."""
    document_id = asked.document_id
    if document_id is None:
        newest = documents.of_conversation(caller=caller, conversation_id=conversation_id)
        document_id = newest.pk if newest else None
    if asked.document_html is None:
        return documents.current(caller=caller, document_id=document_id) if document_id else None
    if document_id is not None:
        return documents.receive(caller=caller, document_id=document_id, html=asked.document_html, turn=turn - 1)
    return documents.store(
        caller=caller, html=asked.document_html, title=asked.title, conversation_id=conversation_id, turn=turn - 1
    )


def jobs_of(caller: Caller) -> QuerySet[Job]:
    """The jobs of sessions in which the caller takes part."""
    rows = Job.objects.select_related("run__message", "session", "version")
    return rows.filter(run__message__conversation__participants__user_id=caller.pk)


def find(*, caller: Caller, job_id: uuid.UUID, session: str | None = None) -> Job:
    """One job, of a session if one is named; raises `NotFound` also when it is someone else's, or another session's."""
    found = jobs_of(caller).filter(pk=job_id).first()
    if found is None or (session is not None and session not in (found.session.name, str(found.session_id))):
        raise NotFound("There is no such job." if session is None else "There is no such job in this session.")
    return found


def list_jobs(*, caller: Caller, status: str = "", session: str | None = None, limit: int) -> list[Job]:
    """The newest jobs, at most `limit`; of a status as clients name it, and of a session if one is named."""
    rows = jobs_of(caller)
    if session is not None:
        rows = rows.filter(session=sessions.existing(caller=caller, name=session))
    if status:
        wanted = [ours for ours, theirs in STATUSES.items() if theirs == status]
        if not wanted:
            raise InvalidRequest(f"status must be one of {', '.join(STATUSES.values())}.")
        rows = rows.filter(run__status__in=wanted)
    return list(rows.order_by("-created_at", "-pk")[:limit])


STATUSES = {
    Run.Status.QUEUED: "pending",
    Run.Status.RUNNING: "in_progress",
    Run.Status.AWAITING_APPROVAL: "awaiting_approval",
    Run.Status.COMPLETED: "completed",
    Run.Status.FAILED: "failed",
    Run.Status.CANCELLED: "cancelled",
}
"""A run's status, and what clients of seed 003 call it."""


def is_over(job: Job) -> bool:
    """Whether nothing will happen any more."""
    return job.run.status not in Run.OPEN


def cancel(*, caller: Caller, job_id: uuid.UUID) -> Job:
    """Ends a job; what it has changed stays. Raises `NotFound`, and `Conflict` when it is over."""
    job = find(caller=caller, job_id=job_id)
    if is_over(job):
        raise Conflict(f"This job is {STATUSES[Run.Status(job.run.status)]} already.")
    answers.stop(caller=caller, message_id=job_id)
    return find(caller=caller, job_id=job_id)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided about changes. Without `change_id` and `changes` it is about all that is open."""

    approved: bool
    feedback: str = ""
    change_id: str = ""
    changes: Sequence["Verdict"] = ()

    @property
    def decision(self) -> Decision:
        """In the words of approvals."""
        return Decision(self.approved, feedback=self.feedback)


def decide(*, caller: Caller, job_id: uuid.UUID, session: str, verdict: Verdict) -> list[Approval]:
    """Decides about proposed changes of a job, all or none; the approvals as they are then.

    Raises `NotFound` for a change that the job has not proposed, `Conflict` when nothing was proposed, and as `decide_all`.
    """
    job = find(caller=caller, job_id=job_id, session=session)
    proposed = Approval.objects.filter(run_id=job.pk, kind=Approval.Kind.PROPOSED_CHANGE)
    if verdict.changes or verdict.change_id:
        decisions = _named(proposed, verdict.changes or (verdict,))
    else:
        decisions = dict.fromkeys(_all_open(proposed), verdict.decision)
    if not decisions:
        raise Conflict("This job has not proposed any change: there is nothing to decide.")
    return decide_all(caller=caller, decisions=decisions, via="jobs")


def _named(proposed: QuerySet[Approval], verdicts: Sequence[Verdict]) -> dict[uuid.UUID, Decision]:
    ids = dict(proposed.filter(subject__in=[each.change_id for each in verdicts]).values_list("subject", "pk"))
    unknown = [each.change_id for each in verdicts if each.change_id not in ids]
    if unknown:
        raise NotFound(f"This job has not proposed a change {unknown[0]!r}.")
    return {ids[each.change_id]: each.decision for each in verdicts}


def _all_open(proposed: QuerySet[Approval]) -> list[uuid.UUID]:
    """What is open; when nothing is, all that was asked last: the same decision again is no error."""
    open_ = list(proposed.filter(status=Approval.Status.PENDING).values_list("pk", flat=True))
    if open_:
        return open_
    last = proposed.order_by("-created_at").first()
    return list(proposed.filter(batch_id=last.batch_id).values_list("pk", flat=True)) if last else []
