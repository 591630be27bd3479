"""Sessions of jobs: what was said in their turns, their document and its versions, and going back."""

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Count, Max

from accounts.caller import Caller
from chat.models import ChatSession, Conversation, DocumentVersion, EditedDocument, Job, Message, Run
from chat.services import documents, jobs, sessions
from chat.services.jobs import SessionBusy
from events.exceptions import NotFound
from events.paging import PAGE, page


def list_sessions(*, caller: Caller, cursor: str) -> tuple[list[dict[str, Any]], str | None]:
    """One page of the caller's sessions that have jobs, the newest first, and the cursor of the next."""
    mine = ChatSession.objects.filter(participants__user_id=caller.pk).values("pk")
    rows = ChatSession.objects.filter(pk__in=mine, jobs__isnull=False).select_related("owner")
    found, following = page(rows.annotate(turns=Count("jobs"), last=Max("jobs__created_at")), by="updated_at", cursor=cursor)
    titles = dict(Conversation.objects.filter(session__in=found, title__gt="").values_list("session_id", "title"))
    named = EditedDocument.objects.filter(conversation__session__in=found, title__gt="").order_by("created_at")
    titles |= dict(named.values_list("conversation__session_id", "title"))
    open_ = dict(Run.objects.filter(job__session__in=found, status__in=Run.OPEN).values_list("job__session_id", "pk"))
    return [_described(row, titles.get(row.pk, ""), open_.get(row.pk)) for row in found], following


def _described(row: ChatSession, title: str, open_job: uuid.UUID | None) -> dict[str, Any]:
    return {
        "session_id": row.name,
        "id": str(row.pk),
        "title": title,
        "owner": row.owner.public_id,
        "turns": row.turns,  # type: ignore[attr-defined]
        "active_job_id": str(open_job) if open_job else None,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def history(*, caller: Caller, session: str, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """What was said in the turns before `before` (None: in the last), oldest first; and the `before` of the page before it."""
    rows = jobs.jobs_of(caller).filter(session=sessions.existing(caller=caller, name=session)).order_by("-turn")
    if before is not None:
        rows = rows.filter(turn__lt=before)
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE][::-1]
    asked = {
        (row.conversation_id, row.position): row
        for row in Message.objects.filter(conversation__in={each.run.message.conversation_id for each in shown}, role="user")
    }
    said = [message for job in shown for message in _turn(job, asked)]
    return said, shown[0].turn if len(found) > PAGE else None


def _turn(job: Job, asked: dict[tuple[uuid.UUID, int], Message]) -> list[dict[str, Any]]:
    answer = job.run.message
    question = asked.get((answer.conversation_id, answer.position - 1))
    before = str(job.version_id) if job.version_id else None
    after = (job.result or {}).get("version_id") or before
    said = [_message(question, "user", job, before)] if question else []
    return [*said, _message(answer, "ai", job, after)] if jobs.is_over(job) else said


def _message(message: Message, sender: str, job: Job, checkpoint: str | None) -> dict[str, Any]:
    return {
        "id": str(message.pk),
        "sender": sender,
        "content": message.text,
        "timestamp": message.created_at.isoformat(),
        "turn_index": job.turn,
        "checkpoint_id": checkpoint,
        "job_id": str(job.pk),
    }


def document(*, caller: Caller, session: str) -> EditedDocument:
    """The document of a session; raises `NotFound` when it has none."""
    rows = jobs.jobs_of(caller).filter(session=sessions.existing(caller=caller, name=session), version__isnull=False)
    last = rows.select_related("version__document").order_by("-turn").first()
    if last is None or last.version is None:
        raise NotFound("This session has no document yet. Send one as document_html.")
    return last.version.document


def revert(
    *, caller: Caller, session: str, turn_index: int | None = None, version_id: uuid.UUID | None = None
) -> DocumentVersion:
    """The session's document as it was at the end of a turn (0: before the first), or as a version was; as a new version.

    Raises `SessionBusy` while a job is not over, `NotFound` when that is no longer kept.
    """
    found = document(caller=caller, session=session)
    with transaction.atomic():
        # As every question of it does first: no job begins while this is looked at.
        list(Conversation.objects.select_for_update(of=("self",)).filter(edited_documents=found))
        about = Job.objects.filter(session=sessions.existing(caller=caller, name=session))
        if about.filter(run__status__in=Run.OPEN).exists():
            raise SessionBusy("A job of this session is not over. Wait for it, or cancel it, and revert then.")
        turn = about.aggregate(last=Max("turn"))["last"]
        return documents.revert(caller=caller, document_id=found.pk, version_id=version_id, turn_index=turn_index, turn=turn)
