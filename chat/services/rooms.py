"""Rooms: conversations that people and agents of an organisation share.

A room is a row of `Conversation` with a type; everything that works with a conversation works with it. On the chat socket
it is a session with the same id, of which it is the only conversation: `/ws/chat/<room>` is the room. Who takes part is
changed in `chat.services.room_participants`, and nowhere else.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.caller import Caller
from accounts.models import Organization
from chat.models import ChatSession, Conversation, Message, Participant, Run, SessionParticipant
from chat.services import conversations, sessions, telling
from chat.services.room_accounts import Account, NewParticipant, check_numbers, found_accounts
from events.event import storable
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.paging import page

EXCERPT_CHARS = 140
NO_ROOM = "There is no such room."


def visible(caller: Caller) -> QuerySet[Conversation]:
    """The rooms in which the caller takes part, with his `my_role`, `unread` and `last_message_id`."""
    mine = Participant.objects.filter(conversation=OuterRef("pk"), user_id=caller.pk)
    messages = Message.objects.filter(conversation=OuterRef("pk")).order_by()
    # What he wrote himself he need not read.
    unread = messages.filter(position__gt=OuterRef("my_read_position")).exclude(author_id=caller.pk)
    return (
        conversations.conversations_of(caller)
        .exclude(type="")
        .annotate(my_role=Subquery(mine.values("role")[:1]), my_read_position=Subquery(mine.values("read_position")[:1]))
        .annotate(
            unread=Coalesce(Subquery(unread.values("conversation").annotate(number=Count("pk")).values("number")), 0),
            last_message_id=Subquery(messages.order_by("-position").values("pk")[:1]),
        )
        .select_related("organization")
        .prefetch_related(Prefetch("participants", with_accounts(Participant.objects.all())))
    )


def with_accounts(rows: QuerySet[Participant]) -> QuerySet[Participant]:
    """Participants in the order in which they came, with their users and applications."""
    return rows.select_related("user", "application").order_by("joined_at", "pk")


def get(*, caller: Caller, room_id: uuid.UUID) -> Conversation:
    """One of them; raises `NotFound` also for a room of others."""
    found = visible(caller).filter(pk=room_id).first()
    if found is None:
        raise NotFound(NO_ROOM)
    return found


def list_rooms(*, caller: Caller, cursor: str) -> tuple[list[Conversation], str | None]:
    """One page after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(visible(caller), by="updated_at", cursor=cursor)


def described(rooms: Sequence[Conversation]) -> list[dict[str, Any]]:
    """Rooms of `visible` as the REST API gives them."""
    ids = [room.last_message_id for room in rooms]  # type: ignore[attr-defined]
    last = Message.objects.select_related("author", "application", "run").defer("thought", "sources", "tool_calls").in_bulk(ids)
    return [_described(room, last.get(id_)) for room, id_ in zip(rooms, ids, strict=True)]


def describe(room: Conversation) -> dict[str, Any]:
    """One of them."""
    return described([room])[0]


def _described(room: Conversation, last: Message | None) -> dict[str, Any]:
    return {
        "id": str(room.pk),
        "type": room.type,
        "title": room.title,
        "organization": room.organization.public_id if room.organization else None,
        "participants": [describe_participant(each) for each in room.participants.all()],
        "role": room.my_role,  # type: ignore[attr-defined]
        "unread": room.unread,  # type: ignore[attr-defined]
        "running_message_id": str(room.running_message_id) if room.running_message_id else None,  # type: ignore[attr-defined]
        "last_message": _excerpt(last) if last else None,
        "created_at": room.created_at.isoformat(),
        "updated_at": room.updated_at.isoformat(),
    }


def describe_participant(participant: Participant) -> dict[str, Any]:
    """A participant as the REST API gives it."""
    account = Account.of(participant)
    return {
        "account_id": account.id,
        "kind": participant.kind,
        "name": account.name,
        "role": participant.role,
        "auto_respond": participant.auto_respond,
    }


def _excerpt(message: Message) -> dict[str, Any]:
    run: Run | None = getattr(message, "run", None)
    return {
        "id": str(message.pk),
        "author": conversations.author_of(message),
        "text": " ".join(message.text[: EXCERPT_CHARS * 2].split())[:EXCERPT_CHARS],
        "status": run.status if run else None,
        "created_at": message.created_at.isoformat(),
    }


def create(
    *, caller: Caller, type: str, participants: Sequence[NewParticipant], title: str = "", organization_id: str = ""
) -> tuple[Conversation, bool]:
    """A room of the caller, who is its owner, and those named; and whether it is new.

    There is one immutable room for the same participants in whatever order: asked for again, also at the same moment, it is
    that one, as it is. `organization_id` may be left out by one who belongs to a single organisation. Raises
    `InvalidRequest`, `NotFound`, `Conflict`.
    """
    organization = _organization(caller, organization_id)
    accounts = found_accounts(caller=caller, organization=organization, wanted=participants)
    check_numbers([account.kind for account in accounts])
    digest = _digest(accounts) if type == Conversation.Type.IMMUTABLE else None
    room_id = _existing(organization, digest)
    if room_id is not None:
        return get(caller=caller, room_id=room_id), False
    room = Conversation(type=type, organization=organization, title=title, participants_sha256=digest)
    try:
        with transaction.atomic():
            _write(room, accounts, caller)
    except IntegrityError:
        room_id = _existing(organization, digest)
        if room_id is None:
            raise
        return get(caller=caller, room_id=room_id), False
    return get(caller=caller, room_id=room.pk), True


def _organization(caller: Caller, organization_id: str) -> Organization:
    own = Organization.objects.filter(memberships__user_id=caller.pk).order_by("public_id")
    if organization_id:
        found = own.filter(public_id=storable(organization_id)).first()
        if found is None:
            raise NotFound("You belong to no organisation with this id.")
        return found
    several = list(own[:20])
    if not several:
        raise Forbidden("Rooms belong to an organisation, and you are in none. An admin of one can add you.")
    if len(several) > 1:
        raise InvalidRequest(f"organization: say in which of yours: {', '.join(each.public_id for each in several)}.")
    return several[0]


def _digest(accounts: Iterable[Account]) -> str:
    named = sorted(f"{account.kind}:{account.id}" for account in accounts)
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def _existing(organization: Organization, digest: str | None) -> uuid.UUID | None:
    if digest is None:
        return None
    same = Conversation.objects.filter(organization=organization, participants_sha256=digest)
    return same.values_list("pk", flat=True).first()


def _write(room: Conversation, accounts: Sequence[Account], caller: Caller) -> None:
    room.save(force_insert=True)
    Participant.objects.bulk_create([account.participant(room) for account in accounts])
    ensure_session(room)
    telling.room_created(room=room, by=caller.user_id)


def ensure_session(room: Conversation) -> None:
    """Has the chat socket know the room: a session with its id and its people. Within a transaction that has locked it.

    Anew, should its session be gone with the account of the one who made the room.
    """
    rows = room.participants.filter(user__isnull=False).order_by("joined_at", "pk")
    people = list(rows.values_list("user_id", flat=True))
    if not people:
        return
    owner = rows.filter(role=Participant.Role.OWNER).values_list("user_id", flat=True).first() or people[0]
    session, _ = ChatSession.objects.update_or_create(
        pk=room.pk, defaults={"owner_id": owner, "name": f"{sessions.ROOM}{room.pk}"}
    )
    SessionParticipant.objects.filter(session=session).exclude(user_id__in=people).delete()
    SessionParticipant.objects.bulk_create(
        [SessionParticipant(session=session, user_id=pk) for pk in people], ignore_conflicts=True
    )
    if room.session_id != session.pk:
        room.session = session
        room.save(update_fields=["session"])


def locked(*, caller: Caller, room_id: uuid.UUID, owner: bool = True) -> Conversation:
    """A room of the caller, locked; with `owner` only for its owners. Raises `NotFound`, `Forbidden`."""
    # Before his role is looked at: it must not change in between.
    Conversation.objects.select_for_update(of=("self",), no_key=True).filter(pk=room_id).first()
    found = get(caller=caller, room_id=room_id)
    if owner and found.my_role != Participant.Role.OWNER:  # type: ignore[attr-defined]
        raise Forbidden("Only owners of the room can do this.")
    return found


@transaction.atomic
def rename(*, caller: Caller, room_id: uuid.UUID, title: str) -> Conversation:
    """Gives a room another title. For its owners. Raises `NotFound`, `Forbidden`."""
    room = locked(caller=caller, room_id=room_id)
    room.title = title
    room.save(update_fields=["title"])
    telling.room_changed(room=room, change="renamed", by=caller.user_id)
    return room


@transaction.atomic
def delete(*, caller: Caller, room_id: uuid.UUID) -> None:
    """Deletes a room with its messages. For its owners, while nothing is being answered there.

    Raises `NotFound`, `Forbidden`, `Conflict`.
    """
    room = locked(caller=caller, room_id=room_id)
    if Run.objects.filter(message__conversation=room, status__in=Run.OPEN).exists():
        raise Conflict("An answer is still running in this room. Stop it first.")
    people = telling.people_of(room)
    telling.room_changed(room=room, change="deleted", by=caller.user_id, people=people)
    for user_id in people:
        telling.room_left(room=room, user_id=user_id)
    Conversation.objects.filter(pk=room.pk).delete()
    ChatSession.objects.filter(pk=room.pk).delete()


def messages(*, caller: Caller, room_id: uuid.UUID, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Up to a page of messages before a position (None: the newest), oldest first, and the position for older ones."""
    room = get(caller=caller, room_id=room_id)
    rows, older = conversations.page_before(room.messages.select_related("run", "author", "application"), before=before)
    return [describe_message(row) for row in rows], older


def message(*, caller: Caller, message_id: uuid.UUID) -> dict[str, Any]:
    """One message of the caller's rooms; raises `NotFound`."""
    rows = Message.objects.select_related("run", "author", "application").exclude(conversation__type="")
    found = rows.filter(conversations.seen_by(caller, conversation="conversation"), pk=message_id).first()
    if found is None:
        raise NotFound("There is no such message.")
    return describe_message(found)


def describe_message(message: Message) -> dict[str, Any]:
    """A message of a room as the REST API gives it."""
    own = {"author": conversations.author_of(message), "position": message.position}
    return conversations.describe(message) | own | {"question_id": str(message.question_id) if message.question_id else None}


@transaction.atomic
def mark_read(*, caller: Caller, room_id: uuid.UUID, message_id: uuid.UUID | None = None) -> int:
    """Keeps that the caller has read up to a message (None: the newest); how many he has not read. It never goes back.

    Raises `NotFound`.
    """
    room = get(caller=caller, room_id=room_id)
    rows = room.messages.order_by("-position")
    last = (rows.filter(pk=message_id) if message_id else rows).first()
    if last is None:
        if message_id:
            raise NotFound("There is no such message in this room.")
        return 0
    before = Participant.objects.filter(conversation=room, user_id=caller.pk, read_position__lt=last.position)
    moved = before.update(read_position=last.position)
    unread = int(get(caller=caller, room_id=room_id).unread)  # type: ignore[attr-defined]
    if moved:
        telling.room_read(room=room, user_id=caller.user_id, unread=unread)
    return unread
