"""Conversations and their messages, as their participants see them."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, OuterRef, QuerySet, Subquery

from accounts.caller import Caller
from chat.markdown import render
from chat.models import Conversation, Message, Run
from events.exceptions import InvalidRequest, NotFound

PAGE = 50


def parse_id(text: object, *, what: str) -> uuid.UUID:
    """The UUID in a text; raises `InvalidRequest` naming `what`.

    Only the usual form: `uuid.UUID` alone accepts braces and URNs.
    """
    try:
        value = uuid.UUID(str(text))
    except ValueError:
        value = None
    if value is None or str(value) != str(text).lower():
        raise InvalidRequest(f"{what} must be a UUID such as 123e4567-e89b-12d3-a456-426614174000.")
    return value


def conversations_of(caller: Caller) -> QuerySet[Conversation]:
    """The caller's conversations, newest first, each with `running_message_id`."""
    running = Run.objects.filter(message__conversation=OuterRef("pk"), status__in=Run.OPEN).order_by("-created_at")
    return (
        Conversation.objects.filter(participants__user_id=caller.pk)
        .annotate(running_message_id=Subquery(running.values("pk")[:1]))
        .order_by("-updated_at", "-id")
    )


def conversation(*, caller: Caller, conversation_id: uuid.UUID) -> Conversation:
    """One conversation; raises `NotFound` also when it is someone else's."""
    found = conversations_of(caller).filter(pk=conversation_id).first()
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


def list_conversations(*, caller: Caller, cursor: str) -> tuple[list[Conversation], str | None]:
    """One page after `cursor` (empty: the newest), and the cursor of the next page."""
    query = conversations_of(caller)
    if cursor:
        moment, pk = _parse_cursor(cursor)
        query = query.filter(updated_at__lte=moment).exclude(updated_at=moment, pk__gte=pk)
    found = list(query[: PAGE + 1])
    following = _cursor(found[PAGE - 1]) if len(found) > PAGE else None
    return found[:PAGE], following


_CURSOR = re.compile(r"([0-9]{1,17})~([0-9a-f-]{36})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _cursor(last: Conversation) -> str:
    """The place after a conversation: microseconds and id, of characters that a query needs no quoting for."""
    return f"{(last.updated_at - _EPOCH) // timedelta(microseconds=1)}~{last.pk}"


def _parse_cursor(text: str) -> tuple[datetime, uuid.UUID]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidRequest("cursor must be a `next` of an earlier page.")
    return _EPOCH + timedelta(microseconds=int(match[1])), parse_id(match[2], what="cursor")


def rename(*, caller: Caller, conversation_id: uuid.UUID, title: str) -> Conversation:
    """Gives a conversation another title."""
    found = conversation(caller=caller, conversation_id=conversation_id)
    found.title = title
    found.save(update_fields=["title"])
    return found


def delete(*, caller: Caller, conversation_id: uuid.UUID) -> None:
    """Deletes a conversation that has no running answer."""
    found = conversation(caller=caller, conversation_id=conversation_id)
    if found.running_message_id is not None:  # type: ignore[attr-defined]
        raise InvalidRequest("An answer is still running in this conversation. Stop it first.")
    found.delete()


def messages(*, caller: Caller, conversation_id: uuid.UUID, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Up to a page of messages before a position (None: the newest), oldest first.

    And what to give as `before` for older ones.
    """
    found = conversation(caller=caller, conversation_id=conversation_id)
    query = found.messages.select_related("run").order_by("-position")
    if before is not None:
        query = query.filter(position__lt=before)
    rows = list(query[: PAGE + 1])
    older = rows[PAGE - 1].position if len(rows) > PAGE else None
    return [describe(row) for row in reversed(rows[:PAGE])], older


def next_position(found: Conversation) -> int:
    """The position of the next message; the caller holds the conversation's row lock."""
    return (found.messages.aggregate(last=Max("position"))["last"] or 0) + 1


def describe(message: Message) -> dict[str, Any]:
    """A message as the REST API gives it; `html` once an answer has ended."""
    run: Run | None = getattr(message, "run", None)
    ended = run is not None and run.status not in Run.OPEN
    return {
        "id": str(message.pk),
        "role": message.role,
        "text": message.text,
        "html": render(message.text) if ended else None,
        "thought": message.thought,
        "sources": message.sources,
        "status": run.status if run else None,
        "error": {"code": run.error_code, "message": run.error, "retryable": run.retryable} if run and run.error_code else None,
        "created_at": message.created_at.isoformat(),
    }


def message_of(*, caller: Caller, message_id: uuid.UUID) -> Message:
    """An assistant's message with its run; raises `NotFound` also when it is someone else's."""
    found = (
        Message.objects.select_related("run")
        .filter(pk=message_id, run__isnull=False, conversation__participants__user_id=caller.pk)
        .first()
    )
    if found is None:
        raise NotFound("There is no such message.")
    return found
