"""Conversations and their messages, as their participants see them."""

import uuid
from typing import Any

from django.db.models import Max, OuterRef, Q, QuerySet, Subquery

from accounts.caller import Caller
from accounts.models import Membership
from chat.markdown import render
from chat.models import Conversation, Message, Participant, Run
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.paging import PAGE, page, parse_id


def seen_by(caller: Caller, *, conversation: str = "") -> Q:
    """What is of conversations in which the caller takes part; `conversation`: the look-up that leads there.

    Who leaves an organisation sees its rooms no more, though he was not taken out of each.
    """
    to = f"{conversation}__" if conversation else ""
    own = Membership.objects.filter(user_id=caller.pk).values("organization")
    of_it = Q(**{f"{to}organization__isnull": True}) | Q(**{f"{to}organization__in": own})
    return Q(**{f"{to}participants__user_id": caller.pk}) & of_it


def conversations_of(caller: Caller) -> QuerySet[Conversation]:
    """The caller's conversations, newest first, each with `running_message_id`; rooms among them."""
    running = Run.objects.filter(message__conversation=OuterRef("pk"), status__in=Run.OPEN).order_by("-created_at")
    return (
        Conversation.objects.filter(seen_by(caller))
        .select_related("application")
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
    """One page after `cursor` (empty: the newest), without rooms, and the cursor of the next page."""
    return page(conversations_of(caller).filter(type=""), by="updated_at", cursor=cursor)


def is_room(conversation_id: uuid.UUID) -> bool:
    """Whether there is a room with this id, which is also that of its session."""
    return Conversation.objects.filter(pk=conversation_id).exclude(type="").exists()


def is_private(*, caller: Caller, conversation_id: str) -> bool:
    """Whether this is the id of a conversation of the caller that is no room."""
    try:
        id_ = parse_id(conversation_id)
    except InvalidRequest:
        return False
    return conversations_of(caller).filter(pk=id_, type="").exists()


def refuse_readers(*, caller: Caller, conversation_id: uuid.UUID) -> None:
    """Raises `Forbidden` for one who may only read there."""
    reader = Participant.Role.READER
    if Participant.objects.filter(conversation_id=conversation_id, user_id=caller.pk, role=reader).exists():
        raise Forbidden("You may only read in this room. Ask one of its owners to make you a member.")


def _not_a_room(found: Conversation) -> None:
    if found.type:
        raise Conflict(f"This conversation is a room: it is changed at /api/v1/rooms/{found.pk}.")


def rename(*, caller: Caller, conversation_id: uuid.UUID, title: str) -> Conversation:
    """Gives a conversation another title. Raises `NotFound`, and `Conflict` for a room."""
    found = conversation(caller=caller, conversation_id=conversation_id)
    _not_a_room(found)
    found.title = title
    found.save(update_fields=["title"])
    return found


def delete(*, caller: Caller, conversation_id: uuid.UUID) -> None:
    """Deletes a conversation that has no running answer. Raises `NotFound`, and `Conflict` for a room."""
    found = conversation(caller=caller, conversation_id=conversation_id)
    _not_a_room(found)
    if found.running_message_id is not None:  # type: ignore[attr-defined]
        raise InvalidRequest("An answer is still running in this conversation. Stop it first.")
    found.delete()


def messages(*, caller: Caller, conversation_id: uuid.UUID, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Up to a page of messages before a position (None: the newest), oldest first.

    And what to give as `before` for older ones. Those of a room say who wrote them.
    """
    found = conversation(caller=caller, conversation_id=conversation_id)
    rows, older = page_before(found.messages.select_related("run", "author", "application"), before=before)
    return [describe(row) | ({"author": author_of(row)} if found.type else {}) for row in rows], older


def page_before(rows: QuerySet[Message], *, before: int | None) -> tuple[list[Message], int | None]:
    """Up to a page of a conversation's messages before a position, oldest first, and the position for those before them."""
    rows = rows.order_by("-position")
    if before is not None:
        rows = rows.filter(position__lt=before)
    found = list(rows[: PAGE + 1])
    older = found[PAGE - 1].position if len(found) > PAGE else None
    return found[:PAGE][::-1], older


def question_of(answer: Message, messages: QuerySet[Message]) -> Message | None:
    """What an answer answers, from `messages`; of an answer that was written before this was kept, the message above it."""
    if answer.question_id is not None:
        return messages.filter(pk=answer.question_id).first()
    above = messages.filter(conversation_id=answer.conversation_id, position__lt=answer.position, role=Message.Role.USER)
    return above.order_by("-position").first()


def next_position(found: Conversation) -> int:
    """The position of the next message; the caller holds the conversation's row lock."""
    return (found.messages.aggregate(last=Max("position"))["last"] or 0) + 1


def speaker(message: Message) -> str:
    """The name of who wrote a message, with its `author` and `application`."""
    if message.role == Message.Role.ASSISTANT:
        return message.application.name if message.application else "assistant"
    return message.author.username if message.author else "somebody who is gone"


def author_of(message: Message) -> dict[str, Any]:
    """Who wrote a message, with its `author` and `application`: `account_id` (null: gone), `kind`, `name`."""
    is_answer = message.role == Message.Role.ASSISTANT
    account = message.application if is_answer else message.author
    kind = Participant.Kind.AGENT if is_answer else Participant.Kind.USER
    return {"account_id": account.public_id if account else None, "kind": kind.value, "name": speaker(message)}


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
        .filter(seen_by(caller, conversation="conversation"), pk=message_id, run__isnull=False)
        .first()
    )
    if found is None:
        raise NotFound("There is no such message.")
    return found
