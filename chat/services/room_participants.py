"""Changing who takes part in a room, and as what. All of it for its owners, but that anybody may leave."""

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounts.caller import Caller
from chat.models import Conversation, Participant
from chat.services import conversations, rooms, telling
from chat.services.room_accounts import AGENT, NewParticipant, check_numbers, check_rights, found_account
from events.event import storable
from events.exceptions import Conflict, NotFound

OWNER = Participant.Role.OWNER


def list_participants(*, caller: Caller, room_id: uuid.UUID) -> list[Participant]:
    """All of them, in the order in which they came. Raises `NotFound`."""
    return list(rooms.get(caller=caller, room_id=room_id).participants.all())


@transaction.atomic
def add(*, caller: Caller, room_id: uuid.UUID, wanted: NewParticipant) -> tuple[Participant, bool]:
    """Has someone take part, in what was said so far too; and whether that is new. Who takes part stays as he is.

    Raises `NotFound`, `Forbidden`, `InvalidRequest`, and `Conflict` for an immutable room or a full one.
    """
    room = rooms.locked(caller=caller, room_id=room_id)
    _refuse_immutable(room)
    earlier = _find(room, wanted.account_id)
    if earlier is not None:
        return earlier, False
    assert room.organization is not None  # noqa: S101 - a room has one
    account = found_account(organization=room.organization, wanted=wanted)
    check_numbers([*(each.kind for each in room.participants.all()), account.kind])
    # What was said before he came is there to be read, and no news.
    added = account.participant(room, read_position=conversations.next_position(room) - 1)
    added.save(force_insert=True)
    _changed(room, caller)
    return rooms.with_accounts(Participant.objects.filter(pk=added.pk)).get(), True


@transaction.atomic
def change(*, caller: Caller, room_id: uuid.UUID, account_id: str, fields: dict[str, Any]) -> Participant:
    """Gives a participant another `role`, or an agent another `auto_respond`. Raises as `add`."""
    room = rooms.locked(caller=caller, room_id=room_id)
    found = _existing(room, account_id)
    role, auto_respond = fields.get("role", found.role), fields.get("auto_respond", found.auto_respond)
    check_rights(kind=found.kind, role=role, auto_respond=auto_respond)
    if found.role == OWNER and role != OWNER:
        _refuse_last_owner(room, found)
    found.role, found.auto_respond = role, auto_respond
    found.save(update_fields=["role", "auto_respond"])
    _changed(room, caller)
    return found


@transaction.atomic
def remove(*, caller: Caller, room_id: uuid.UUID, account_id: str) -> None:
    """Ends that someone takes part: an owner says it of anybody, everyone of himself. His open sockets there are closed.

    Raises `NotFound`, `Forbidden`, and `Conflict` for an immutable room and for the last owner.
    """
    room = rooms.locked(caller=caller, room_id=room_id, owner=account_id != caller.user_id)
    _refuse_immutable(room)
    found = _existing(room, account_id)
    if found.role == OWNER:
        _refuse_last_owner(room, found)
    found.delete()
    if found.kind != AGENT:
        telling.room_left(room=room, user_id=account_id)
    _changed(room, caller)


def _changed(room: Conversation, caller: Caller) -> None:
    rooms.ensure_session(room)
    telling.room_changed(room=room, change="participants", by=caller.user_id)


def _refuse_immutable(room: Conversation) -> None:
    if room.type == Conversation.Type.IMMUTABLE:
        raise Conflict("Who takes part in an immutable room never changes. Make another room.")


def _refuse_last_owner(room: Conversation, leaving: Participant) -> None:
    if not room.participants.filter(role=OWNER).exclude(pk=leaving.pk).exists():
        raise Conflict("This is the last owner of the room. Make somebody else an owner first, or delete the room.")


def _find(room: Conversation, account_id: str) -> Participant | None:
    named = Q(user__public_id=storable(account_id)) | Q(application__public_id=storable(account_id))
    return rooms.with_accounts(Participant.objects.filter(named, conversation=room)).first()


def _existing(room: Conversation, account_id: str) -> Participant:
    found = _find(room, account_id)
    if found is None:
        raise NotFound("There is no such participant.")
    return found
