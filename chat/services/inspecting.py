"""Looking at runs, messages and workers: for operators. Nothing here writes."""

import uuid
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from chat.models import Approval, Conversation, DocumentVersion, EditedDocument, Job, Message, Run


def living_workers(*, silent_for: float) -> int:
    """How many workers gave a sign of life within so many seconds, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chat_worker WHERE beat_at >= now() - make_interval(secs => %s)", [silent_for])
        return int(cursor.fetchone()[0])


def runs_like(rows: QuerySet[Run], text: str) -> QuerySet[Run]:
    """Those of a message or conversation id, a worker's name (or its beginning), or a user's name or public id."""
    return _like(rows, text, ids=("pk", "message__conversation_id"), words=("worker__startswith", *_user("requested_by")))


def messages_like(rows: QuerySet[Message], text: str) -> QuerySet[Message]:
    """Those of a message or conversation id, or written by a user."""
    return _like(rows, text, ids=("pk", "conversation_id"), words=_user("author"))


def approvals_like(rows: QuerySet[Approval], text: str) -> QuerySet[Approval]:
    """Those of an approval, batch or message id, or asked for or decided by a user."""
    return _like(rows, text, ids=("pk", "batch_id", "run_id"), words=(*_user("requested_by"), *_user("decided_by")))


def jobs_like(rows: QuerySet[Job], text: str) -> QuerySet[Job]:
    """That of an id, those of a session, or asked for by a user."""
    return _like(rows, text, ids=("pk", "session_id"), words=_user("run__requested_by"))


def conversations_like(rows: QuerySet[Conversation], text: str) -> QuerySet[Conversation]:
    """That of an id, or those in which a user takes part."""
    return _like(rows, text, ids=("pk",), words=_user("participants__user"))


def documents_like(rows: QuerySet[EditedDocument], text: str) -> QuerySet[EditedDocument]:
    """Those of a document or conversation id, or owned by a user."""
    return _like(rows, text, ids=("pk", "conversation_id"), words=_user("owner"))


def versions_like(rows: QuerySet[DocumentVersion], text: str) -> QuerySet[DocumentVersion]:
    """Those of a version, document or run id, or made by a user."""
    return _like(rows, text, ids=("pk", "document_id", "run_id"), words=_user("author"))


def _user(path: str) -> tuple[str, str]:
    return f"{path}__username", f"{path}__public_id"


def _like(rows: QuerySet[Any], text: str, *, ids: tuple[str, ...], words: tuple[str, ...]) -> QuerySet[Any]:
    """Each look-up has an index: an id is compared as what it is, never as text."""
    text = text.strip()
    if not text:
        return rows
    try:
        wanted: uuid.UUID | str = uuid.UUID(text)
        names = ids
    except ValueError:
        wanted, names = text, words
    found = Q()
    for name in names:
        found |= Q(**{name: wanted})
    return rows.filter(found).distinct()
