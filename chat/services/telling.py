"""What the feeds of people are told of their conversations, and topics: all of it in this one place.

Everything goes with the current transaction: it is told if and only if the change is committed.
"""

from collections.abc import Iterable
from typing import Any

from chat.models import Conversation, Message
from chat.run_events import Type
from chat.services import topics
from events.outbox import publish_all_with_commit
from events.publishing import Publication
from events.streams import Stream


def answer_changed(*, message: Message, type: Type, status: str) -> None:
    """Tells all who take part that an answer has begun, or ended."""
    if type is Type.MESSAGE_STARTED:
        topics.answer_started(message=message)
    else:
        topics.answer_ended(message=message, run=message.run)
    data = _about(message.conversation) | {"message_id": str(message.pk), "status": status}
    _tell(people_of(message.conversation), type, data)


def room_created(*, room: Conversation, by: str) -> None:
    """Tells those who take part in a new room; `by`: the public id of who made it."""
    topics.conversation_created(conversation=room, by=by)
    room_changed(room=room, change="created", by=by)


def message_posted(*, message: Message) -> None:
    """Tells that a person has written: in a room those who take part; topics of every conversation."""
    if message.position == 1 and not message.conversation.type:
        topics.conversation_created(conversation=message.conversation, by=message.author.public_id if message.author else "")
    topics.message_posted(message=message)
    if not message.conversation.type:
        return
    author = message.author.public_id if message.author else None
    data = _about(message.conversation) | {"message_id": str(message.pk), "user_id": author}
    _tell(people_of(message.conversation), Type.MESSAGE_POSTED, data)


def room_changed(*, room: Conversation, change: str, by: str, people: Iterable[str] | None = None) -> None:
    """Tells those who take part (or `people`) that a room was `created`, `renamed`, `deleted`, or has other `participants`."""
    told = people_of(room) if people is None else people
    _tell(told, Type.ROOM_CHANGED, {"room_id": str(room.pk), "title": room.title, "change": change, "by": by})


def room_left(*, room: Conversation, user_id: str) -> None:
    """Tells someone that he takes part no more; his sockets there close by it."""
    _tell([user_id], Type.SESSION_LEFT, {"session_id": str(room.pk), "room_id": str(room.pk)})


def room_read(*, room: Conversation, user_id: str, unread: int) -> None:
    """Tells the other tabs and devices of someone what he has not read yet."""
    _tell([user_id], Type.ROOM_READ, {"room_id": str(room.pk), "unread": unread})


def people_of(conversation: Conversation) -> list[str]:
    """The public ids of the users who take part; in a room only of those who are still in its organisation."""
    users = conversation.participants.filter(user__isnull=False)
    if conversation.type:
        users = users.filter(user__memberships__organization=conversation.organization_id)
    return list(users.values_list("user__public_id", flat=True))


def _about(conversation: Conversation) -> dict[str, Any]:
    data = {"conversation_id": str(conversation.pk)}
    if conversation.session_id is not None:
        data["session_id"] = str(conversation.session_id)
    if conversation.type:
        data["room_id"] = str(conversation.pk)
    return data


def _tell(people: Iterable[str], type_: Type, data: dict[str, Any]) -> None:
    publish_all_with_commit([Publication(Stream("user", user_id), type_, data) for user_id in people])
