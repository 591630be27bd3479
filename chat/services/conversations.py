"""Conversations and their messages, as their participants see them."""

import uuid
from typing import Any

from django.db.models import Max, OuterRef, QuerySet, Subquery

from accounts.caller import Caller
from chat.markdown import render
from chat.models import Conversation, Message, Run
from events.exceptions import InvalidRequest, NotFound
from events.paging import PAGE, page


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
    return page(conversations_of(caller), by="updated_at", cursor=cursor)


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
