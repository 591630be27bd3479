"""Accepting a question: everything that must not be forgotten, in one transaction."""

import hashlib
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import User
from chat.conf import conf
from chat.jobs import defer_answer
from chat.models import Application, ChatSession, Conversation, IdempotencyKey, Message, Run
from chat.run_events import Type
from chat.services import conversations, sessions
from chat.services.applications import application_of, grounding_of
from events import journal
from events.event import Event, EventId
from events.exceptions import Conflict, InvalidRequest, TooMany
from events.outbox import publish_with_commit
from events.publishing import now_ms
from events.streams import Stream

TITLE_CHARS = 80
NAMED_CONVERSATIONS = uuid.UUID("6a9a4a5e-3f0a-4d5c-9a54-0c6d1f1d7c55")
"""Namespace of the ids of conversations that callers name themselves."""


@dataclass(frozen=True, slots=True)
class Question:
    """A checked request for an answer.

    `attachments` are objects with `name` and `text`; `history` (objects with `role` and `content`) stands for the
    conversation's own messages when given; `grounding` says what to answer from: see `chat.grounding`.
    `tools`: which of the application's tools may be called; None: all of them.
    `conversation` is the id of one of the caller's conversations, or any name of the caller's own for one. In a `session`
    new conversations are those of all its participants, and so are such names.
    """

    text: str
    conversation_id: uuid.UUID | None = None
    application_id: str = ""
    attachments: list[dict[str, str]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, str]] | None = None
    system_prompt: str = ""
    grounding: dict[str, Any] | None = None
    conversation: str = ""
    session: ChatSession | None = None
    tools: list[str] | None = None
    also: Callable[[Message], None] | None = None
    """What else is written with the answer and its run, in their transaction; what it raises refuses the question."""


def message_stream(message_id: uuid.UUID) -> Stream:
    """The durable stream of an answer."""
    return Stream("message", str(message_id))


def ask(*, caller: Caller, question: Question, idempotency_key: str = "", body: bytes = b"") -> Message:
    """Writes the question, the empty answer, its run, the first event and the job; the assistant's message.

    With an `idempotency_key` that was used before: the same message again if `body` is the
    same, else `Conflict`. Raises `NotFound`, `TooMany`.
    """
    if len(idempotency_key) > 255:
        raise InvalidRequest("Idempotency-Key must have at most 255 characters.")
    digest = hashlib.sha256(body).hexdigest()
    earlier = _earlier(caller, idempotency_key, digest)
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            answer = _accept(caller, question)
            if idempotency_key:
                IdempotencyKey.objects.create(user_id=caller.pk, key=idempotency_key, digest=digest, message=answer)
            return answer
    except (IntegrityError, TooMany, Conflict):
        # Perhaps the same key at the same moment, on another connection: that one won, or took the last place (of a session).
        earlier = _earlier(caller, idempotency_key, digest)
        if earlier is None:
            raise
        return earlier


def _earlier(caller: Caller, key: str, digest: str) -> Message | None:
    if not key:
        return None
    oldest = timezone.now() - timedelta(hours=conf.IDEMPOTENCY_HOURS)
    IdempotencyKey.objects.filter(user_id=caller.pk, created_at__lt=oldest).delete()
    found = IdempotencyKey.objects.select_related("message__run").filter(user_id=caller.pk, key=key).first()
    if found is None:
        return None
    if found.digest != digest:
        raise Conflict("This Idempotency-Key was used with another body. Use a new key for a new question.")
    return found.message


def _accept(caller: Caller, question: Question) -> Message:
    _refuse_too_many(caller)
    conversation = _conversation(caller, question)
    position = conversations.next_position(conversation)
    answer = Message(conversation=conversation, position=position + 1, role=Message.Role.ASSISTANT)
    asked = Message(
        conversation=conversation,
        position=position,
        role=Message.Role.USER,
        author_id=caller.pk,
        text=question.text,
        attachments=question.attachments,
    )
    Message.objects.bulk_create([asked, answer])
    application = conversation.application
    Run.objects.create(
        message=answer,
        requested_by_id=caller.pk,
        engine=application.engine if application else "",
        options=question.options,
        context={
            "history": question.history,
            "system_prompt": question.system_prompt,
            "grounding": question.grounding or grounding_of(application),
            "tools": question.tools,
        },
    )
    started = {"message_id": str(answer.pk), "conversation_id": str(conversation.pk)}
    journal.create(stream=message_stream(answer.pk), events=[Event(EventId(1, 0), Type.STARTED, started, now_ms())])
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())
    sessions.touch(session_id=conversation.session_id)
    if question.also is not None:
        question.also(answer)
    defer_answer(answer.pk)
    announce(message=answer, type=Type.MESSAGE_STARTED, status=Run.Status.QUEUED)
    return answer


def _conversation(caller: Caller, question: Question) -> Conversation:
    if question.conversation_id is not None:
        conversations.conversation(caller=caller, conversation_id=question.conversation_id)
        return _locked(question.conversation_id)
    if question.conversation:
        return _named_conversation(caller, question)
    created = Conversation(title=_title(question), application=_application(caller, question))
    _begin(caller, question, created)
    return created


def _application(caller: Caller, question: Question) -> Application | None:
    return application_of(caller=caller, application_id=question.application_id) if question.application_id else None


def _begin(caller: Caller, question: Question, conversation: Conversation) -> None:
    """Saves a conversation with those who take part in it; two first questions at once end up in the same."""
    if question.session is not None:
        sessions.begin_conversation(caller=caller, session=question.session, conversation=conversation)
        return
    Conversation.objects.bulk_create([conversation], ignore_conflicts=True)
    conversation.participants.get_or_create(user_id=caller.pk)


def _locked(conversation_id: uuid.UUID) -> Conversation:
    """Locked, so that two questions at once get different positions."""
    return Conversation.objects.select_for_update(of=("self",)).select_related("application").get(pk=conversation_id)


def _named_conversation(caller: Caller, question: Question) -> Conversation:
    """The caller's conversation with that id, else the one that the caller, or the session, calls so, made at its first use.

    Another caller's or session's same name is another conversation.
    """
    own = Conversation.objects.filter(participants__user_id=caller.pk)
    with suppress(ValueError):
        found = own.filter(pk=uuid.UUID(question.conversation)).first()
        if found is not None:
            return _locked(found.pk)
    whose = caller.user_id if question.session is None else question.session.pk
    id_ = uuid.uuid5(NAMED_CONVERSATIONS, f"{whose}\n{question.conversation}")
    if not own.filter(pk=id_).exists():
        _begin(caller, question, Conversation(pk=id_, title=_title(question), application=_application(caller, question)))
    return _locked(id_)


def _title(question: Question) -> str:
    return " ".join(question.text.split())[:TITLE_CHARS]


def _refuse_too_many(caller: Caller) -> None:
    limit = conf.CHAT_RUNNING_PER_USER
    if not limit:
        return
    # One question of a user at a time, else all of those at once would find room. (Not FOR UPDATE: foreign keys share the row.)
    User.objects.select_for_update(no_key=True).get(pk=caller.pk)
    if Run.objects.filter(requested_by_id=caller.pk, status__in=Run.OPEN).count() >= limit:
        raise TooMany(f"{limit} of your answers are still running. Wait for one to end, or stop one.", retry_after=5)


def announce(*, message: Message, type: Type, status: str) -> None:
    """Tells the feeds of all participants, with the current transaction."""
    conversation = message.conversation
    data = {"message_id": str(message.pk), "conversation_id": str(conversation.pk), "status": status}
    if conversation.session_id is not None:
        data["session_id"] = str(conversation.session_id)
    people = conversation.participants.values_list("user__public_id", flat=True)
    for user_id in people:
        publish_with_commit(stream=Stream("user", user_id), type=type, data=data)
