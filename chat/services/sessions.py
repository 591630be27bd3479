"""Sessions: what people share on the chat socket. Each has a name that its owner chose.

A name leads to the caller's own session, else to the one he was added to, else to a new one of his own. Another user's
same name is another session. A session is written down with its first question or participant: whoever connects
under a thousand names leaves nothing behind.
"""

import uuid
from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import Membership, User
from chat.conf import conf
from chat.models import ChatSession, Conversation, Message, Participant, Run, SessionParticipant
from chat.run_events import Type
from chat.services import conversations
from chat.services.applications import application_of
from events.event import storable
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.outbox import publish_with_commit
from events.paging import page
from events.streams import Stream

NAME_CHARS = 255
NAMED_SESSIONS = uuid.UUID("c1f2b5d4-6f0e-4a1e-9d0b-1c7c5b0e9a55")
"""Namespace of the ids of sessions: owner and name make one."""
ROOM = "room:"
"""The names of the sessions of rooms begin with it, and no others."""
NO_SESSION = "There is no such session."


def resolve(*, caller: Caller, name: str) -> ChatSession:
    """The session that the caller means by an id or a name; not saved when nothing has happened in it yet.

    Raises `InvalidRequest`, and `NotFound` for the name of a room of others.
    """
    if not name or len(name) > NAME_CHARS or "\x00" in name:
        raise InvalidRequest(f"A session's name has 1 to {NAME_CHARS} characters.")
    own = ChatSession(id=uuid.uuid5(NAMED_SESSIONS, f"{caller.user_id}\n{name}"), owner_id=caller.pk, name=name)
    named = Q(pk=own.pk) | Q(name=name)
    id_ = None
    with suppress(ValueError):
        id_ = uuid.UUID(name)
        named |= Q(pk=id_)
    found = list(_of(caller).filter(named).order_by("participants__joined_at", "pk"))
    # Nobody can choose an id. Then his own: whoever adds him to a session of that name must not lead what he says elsewhere.
    found.sort(key=lambda each: (each.pk != id_, each.pk != own.pk))
    if not found and name.startswith(ROOM):
        raise NotFound("There is no such room.")
    return found[0] if found else own


def _of(caller: Caller) -> QuerySet[ChatSession]:
    """Those in which he takes part; without rooms of an organisation that he has left."""
    own = Membership.objects.filter(user_id=caller.pk).values("organization")
    lost = Conversation.objects.filter(pk=OuterRef("pk")).exclude(type="").exclude(organization__in=own)
    return ChatSession.objects.filter(~Exists(lost), participants__user_id=caller.pk)


def existing(*, caller: Caller, name: str) -> ChatSession:
    """The same, where something has happened; raises `NotFound`."""
    found = resolve(caller=caller, name=name)
    if found._state.adding:
        raise NotFound(NO_SESSION)
    return found


def locked(session: ChatSession, *, caller: Caller) -> ChatSession:
    """The session's row, made if need be, locked: people join, and conversations begin, one after the other.

    Raises `NotFound` for one who takes no part (any more).
    """
    if session.owner_id == caller.pk:
        _write_down(session)
    found = ChatSession.objects.select_for_update(of=("self",), no_key=True).filter(pk=session.pk).first()
    if found is None or not found.participants.filter(user_id=caller.pk).exists():
        raise NotFound(NO_SESSION)
    return found


def _write_down(session: ChatSession) -> None:
    # Two first questions at once end up in one session.
    new = ChatSession(id=session.pk, owner_id=session.owner_id, name=session.name)
    ChatSession.objects.bulk_create([new], ignore_conflicts=True)
    SessionParticipant.objects.bulk_create(
        [SessionParticipant(session_id=session.pk, user_id=session.owner_id)], ignore_conflicts=True
    )


def takes_part(*, caller: Caller, session: ChatSession) -> bool:
    """Whether the caller is still one of the session's people; the owner of one that is no room always is."""
    if _of(caller).filter(pk=session.pk).exists():
        return True
    return session.owner_id == caller.pk and not conversations.is_room(session.pk)


def participants(session: ChatSession) -> list[str]:
    """Public ids of those who take part, the owner first; of a session that is not saved the owner alone."""
    people = session.participants.order_by("joined_at", "pk").values_list("user__public_id", flat=True)
    return list(people) or [session.owner.public_id]


def begin_conversation(*, caller: Caller, session: ChatSession, conversation: Conversation) -> None:
    """Saves a new conversation of a session, in which all its participants take part. Within a transaction."""
    _refuse_rooms(session)
    conversation.session = locked(session, caller=caller)
    # By id: of two with the same name of the client's, the second finds the first.
    Conversation.objects.bulk_create([conversation], ignore_conflicts=True)
    people = conversation.session.participants.values_list("user_id", flat=True)
    Participant.objects.bulk_create(
        [Participant(conversation_id=conversation.pk, user_id=pk) for pk in people], ignore_conflicts=True
    )


def _refuse_rooms(session: ChatSession) -> None:
    if conversations.is_room(session.pk):
        raise Conflict(
            "This session is a room: one conversation, so leave chat_id out. "
            f"Its participants are changed at /api/v1/rooms/{session.pk}/participants."
        )


def touch(*, session_id: uuid.UUID | None) -> None:
    """Brings a session to the top of the lists."""
    if session_id is not None:
        ChatSession.objects.filter(pk=session_id).update(updated_at=timezone.now())


@transaction.atomic
def add_participant(*, caller: Caller, name: str, user_id: str) -> ChatSession:
    """Lets a user of one of the caller's organisations take part, in everything said so far too. Only the owner may.

    Raises `NotFound`, `Forbidden`, and `Conflict` when the session is full.
    """
    session = locked(resolve(caller=caller, name=name), caller=caller)
    _refuse_rooms(session)
    if session.owner_id != caller.pk:
        raise Forbidden("Only the owner of a session can add people to it.")
    user = User.objects.filter(
        public_id=storable(user_id), is_active=True, organizations__public_id__in=caller.organizations
    ).first()
    if user is None:
        raise NotFound("There is no such user in your organisations.")
    taken = session.participants.exclude(user_id=user.pk).count()
    if taken >= conf.CHAT_SESSION_PARTICIPANTS:
        raise Conflict(f"A session has at most {conf.CHAT_SESSION_PARTICIPANTS} participants.")
    session.participants.get_or_create(user_id=user.pk)
    Participant.objects.bulk_create(
        [Participant(conversation_id=pk, user_id=user.pk) for pk in session.conversations.values_list("pk", flat=True)],
        ignore_conflicts=True,
    )
    return session


@transaction.atomic
def remove_participant(*, caller: Caller, name: str, user_id: str) -> None:
    """Ends that someone takes part: the owner says it of others, everyone of himself. His open sockets are closed.

    Raises `NotFound`, `Forbidden`, and `Conflict` for the owner himself.
    """
    session = locked(resolve(caller=caller, name=name), caller=caller)
    _refuse_rooms(session)
    if caller.user_id != user_id and session.owner_id != caller.pk:
        raise Forbidden("Only the owner of a session can remove others from it.")
    leaving = session.participants.filter(user__public_id=storable(user_id)).first()
    if leaving is None:
        raise NotFound("There is no such participant.")
    if leaving.user_id == session.owner_id:
        raise Conflict("The owner of a session cannot leave it.")
    Participant.objects.filter(conversation__session=session, user_id=leaving.user_id).delete()
    leaving.delete()
    publish_with_commit(stream=Stream("user", user_id), type=Type.SESSION_LEFT, data={"session_id": str(session.pk)})


def running(*, caller: Caller, session_id: uuid.UUID, own: bool = False) -> list[uuid.UUID]:
    """The answers of a session that are not over, in their order; `own`: those that the caller asked for."""
    mine = conversations.seen_by(caller, conversation="message__conversation")
    query = Run.objects.filter(mine, status__in=Run.OPEN, message__conversation__session_id=session_id)
    if own:
        query = query.filter(requested_by_id=caller.pk)
    return list(query.order_by("created_at").values_list("pk", flat=True))


def question_of(*, caller: Caller, message_id: uuid.UUID) -> Message:
    """What an answer answers, with its author and conversation; raises `NotFound` also when it is someone else's."""
    answer = conversations.message_of(caller=caller, message_id=message_id)
    asked = Message.objects.select_related("author", "application", "conversation__application")
    found = conversations.question_of(answer, asked)
    if found is None:
        raise NotFound("There is no such question.")
    return found


def message_of(*, caller: Caller, message_id: uuid.UUID) -> Message:
    """A message with its author and conversation; raises `NotFound` also when it is someone else's."""
    rows = Message.objects.select_related("author", "application", "conversation__application")
    found = rows.filter(conversations.seen_by(caller, conversation="conversation"), pk=message_id).first()
    if found is None:
        raise NotFound("There is no such message.")
    return found


def list_sessions(*, caller: Caller, cursor: str) -> tuple[list[ChatSession], str | None]:
    """One page after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(_with_people(_of(caller)), by="updated_at", cursor=cursor)


def session(*, caller: Caller, name: str) -> ChatSession:
    """One session in which the caller takes part, by name or id; raises `NotFound`."""
    return _with_people(_of(caller)).get(pk=existing(caller=caller, name=name).pk)


def _with_people(query: QuerySet[ChatSession]) -> QuerySet[ChatSession]:
    people = SessionParticipant.objects.select_related("user").order_by("joined_at", "pk")
    return query.select_related("owner").prefetch_related(Prefetch("participants", people))


def describe(session: ChatSession) -> dict[str, Any]:
    """A session as the REST API gives it."""
    return {
        "id": str(session.pk),
        "name": session.name,
        "owner": session.owner.public_id,
        "participants": [each.user.public_id for each in session.participants.all()],
        "created_at": session.created_at.isoformat(),
        "updated_at": session.updated_at.isoformat(),
    }


def session_messages(*, caller: Caller, name: str, cursor: str) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the messages of a session, oldest first, and the cursor of the page before it. Raises `NotFound`."""
    return _messages(caller, Q(conversation__session=existing(caller=caller, name=name)), cursor)


def application_messages(*, caller: Caller, application_id: str, cursor: str) -> tuple[list[dict[str, Any]], str | None]:
    """The same of everything that the caller said with an application. Raises `NotFound`."""
    application = application_of(caller=caller, application_id=application_id)
    return _messages(caller, Q(conversation__application=application), cursor)


def _messages(caller: Caller, where: Q, cursor: str) -> tuple[list[dict[str, Any]], str | None]:
    query = Message.objects.filter(where, conversations.seen_by(caller, conversation="conversation"))
    rows, older = page(query.select_related("run", "author", "conversation"), by="created_at", cursor=cursor)
    return [_described(row) for row in reversed(rows)], older


def _described(message: Message) -> dict[str, Any]:
    conversation = message.conversation
    return conversations.describe(message) | {
        "chat_id": str(conversation.pk),
        "session_id": str(conversation.session_id) if conversation.session_id else None,
        "user_id": message.author.public_id if message.author else None,
    }
