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
from chat.models import Application, ChatSession, Conversation, IdempotencyKey, Message, Run
from chat.services import conversations, responding, rooms, sessions, telling
from chat.services.applications import application_of
from chat.services.responding import message_stream
from events.exceptions import Conflict, InvalidRequest, TooMany

__all__ = ["Posted", "Question", "ask", "message_stream", "post"]

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
    new conversations are those of all its participants, and so are such names. In a room, which is one conversation,
    `application_id` is the agent that is addressed.
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
    """What else is written with an answer and its run, in their transaction; what it raises refuses the question."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that was accepted, and the answers to it that have begun: of a room none, one or many, else one."""

    message: Message
    answers: list[Message]

    @property
    def key(self) -> Message:
        """What is remembered for an Idempotency-Key."""
        return self.answers[0] if self.answers else self.message

    @classmethod
    def found(cls, key: Message) -> "Posted":
        """The same, from what is remembered."""
        asked: Message | None = key
        if key.role == Message.Role.ASSISTANT:
            asked = conversations.question_of(key, Message.objects.select_related("conversation"))
        if asked is None:
            return cls(key, [key])
        answers = Message.objects.filter(question=asked).select_related("run", "application").order_by("position")
        return cls(asked, list(answers) or [each for each in [key] if each is not asked])


def ask(*, caller: Caller, question: Question, idempotency_key: str = "", body: bytes = b"") -> Message:
    """As `post`, where an answer is wanted: the (first) assistant's message. Raises `Conflict` where nobody would answer."""
    posted = _post(caller, question, idempotency_key, body, is_answered=True)
    return posted.answers[0]


def post(*, caller: Caller, question: Question, idempotency_key: str = "", body: bytes = b"") -> Posted:
    """Writes the message, and for each who answers it the empty answer, its run, the first event and the job.

    With an `idempotency_key` that was used before: the same again if `body` is the same, else `Conflict`.
    Raises `NotFound`, `TooMany`, and `Forbidden` for one who may only read there.
    """
    return _post(caller, question, idempotency_key, body, is_answered=False)


def _post(caller: Caller, question: Question, idempotency_key: str, body: bytes, *, is_answered: bool) -> Posted:
    if len(idempotency_key) > 255:
        raise InvalidRequest("Idempotency-Key must have at most 255 characters.")
    digest = hashlib.sha256(body).hexdigest()
    earlier = _earlier(caller, idempotency_key, digest)
    if earlier is not None:
        return Posted.found(earlier)
    try:
        with transaction.atomic():
            posted = _accept(caller, question, is_answered=is_answered)
            if idempotency_key:
                IdempotencyKey.objects.create(user_id=caller.pk, key=idempotency_key, digest=digest, message=posted.key)
            return posted
    except (IntegrityError, TooMany, Conflict):
        # Perhaps the same key at the same moment, on another connection: that one won, or took the last place (of a session).
        earlier = _earlier(caller, idempotency_key, digest)
        if earlier is None:
            raise
        return Posted.found(earlier)


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


def _accept(caller: Caller, question: Question, *, is_answered: bool) -> Posted:
    _one_at_a_time(caller)
    conversation = _conversation(caller, question)
    conversations.refuse_readers(caller=caller, conversation_id=conversation.pk)
    applications = responding.respondents(conversation, addressed=question.application_id)
    if applications:
        _refuse_too_many(caller)
    elif is_answered:
        raise Conflict(f"No agent of this room answers by itself. Name one, or post to /api/v1/rooms/{conversation.pk}/messages.")
    asked = Message.objects.create(
        conversation=conversation,
        position=conversations.next_position(conversation),
        role=Message.Role.USER,
        author_id=caller.pk,
        text=question.text,
        attachments=question.attachments,
    )
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now())
    sessions.touch(session_id=conversation.session_id)
    if conversation.type:
        if conversation.session_id is None:
            rooms.ensure_session(conversation)  # gone with the account of who made the room
        conversation.participants.filter(user_id=caller.pk).update(read_position=asked.position)
    telling.message_posted(message=asked)
    answers = responding.begin(
        asked=asked,
        applications=applications,
        requested_by_id=caller.pk,
        options=question.options,
        context={
            "history": question.history,
            "system_prompt": question.system_prompt,
            "grounding": question.grounding,
            "tools": question.tools,
        },
    )
    if question.also is not None:
        for answer in answers:
            question.also(answer)
    return Posted(asked, answers)


def _conversation(caller: Caller, question: Question) -> Conversation:
    if question.conversation_id is not None:
        conversations.conversation(caller=caller, conversation_id=question.conversation_id)
        return _locked(question.conversation_id)
    room = question.session.pk if question.session is not None and conversations.is_room(question.session.pk) else None
    if room is not None and question.conversation in ("", str(room)):
        conversations.conversation(caller=caller, conversation_id=room)
        return _locked(room)
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
    own = Conversation.objects.filter(conversations.seen_by(caller))
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


def _one_at_a_time(caller: Caller) -> None:
    if conf.CHAT_RUNNING_PER_USER:
        # One question of a user at a time, else all of those at once would find room.
        # (Not FOR UPDATE: foreign keys share the row.)
        User.objects.select_for_update(no_key=True).get(pk=caller.pk)


def _refuse_too_many(caller: Caller) -> None:
    limit = conf.CHAT_RUNNING_PER_USER
    if limit and Run.objects.filter(requested_by_id=caller.pk, status__in=Run.OPEN).count() >= limit:
        raise TooMany(f"{limit} of your answers are still running. Wait for one to end, or stop one.", retry_after=5)
