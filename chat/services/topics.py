"""What topics say of conversations and answers, and who may hear it (seed 001).

    events.{org}.conversations.conversation.created | message_posted | message_started | message_stream.{conversation}
    events.{org}.tasks.task.completed | failed.{message}

An answer is a task: its run. Tokens are `message_stream`; they stay in the answer's own stream, see `events.topics.streaming`.
"""

import uuid
from collections.abc import Collection
from typing import Any

from django.utils import timezone

from accounts.caller import Caller
from accounts.models import Organization
from chat.models import Conversation, Message, Run
from chat.run_events import Type
from chat.services.conversations import seen_by, speaker
from events.event import Event
from events.exceptions import TooLarge
from events.topics import access as topic_access
from events.topics import streaming as topic_streaming
from events.topics.grammar import SEGMENT, WILDCARD
from events.topics.publishing import publish_topic

TEXT_CHARS = 8000
"""How much of a message its event carries; the whole is where its id leads."""


ERROR_CHARS = 2000
"""How much is told of why an answer failed: nothing may keep a run from ending."""


def conversation_created(*, conversation: Conversation, by: str) -> None:
    """Tells of a new conversation; `by`: the public id of who made it."""
    _publish(conversation, "created", {"user_id": by, "type": conversation.type})


def message_posted(*, message: Message) -> None:
    """Tells of a whole message, of a person or an agent."""
    text = message.text[:TEXT_CHARS]
    data: dict[str, Any] = {"message_id": str(message.pk), "role": message.role, "author": speaker(message), "text": text}
    if message.author is not None:
        data["user_id"] = message.author.public_id
    if len(message.text) > len(text):
        data["text_truncated"] = True
    _publish(message.conversation, "message_posted", data)


def answer_started(*, message: Message) -> None:
    """Tells that an answer begins, whose tokens can be heard from now on."""
    _publish(message.conversation, "message_started", {"message_id": str(message.pk)})


def answer_ended(*, message: Message, run: Run) -> None:
    """Tells the message that an answer came to, and that its task is completed, or failed."""
    if run.status == Run.Status.COMPLETED and message.text:
        message_posted(message=message)
    event = {Run.Status.COMPLETED: "completed", Run.Status.FAILED: "failed"}.get(Run.Status(run.status))
    organization = _organization(message.conversation)
    if event is None or organization is None:
        return
    about = message.conversation
    payload: dict[str, Any] = {
        "message_id": str(message.pk),
        "conversation_id": str(about.pk),
        "title": about.title,
        "status": run.status,
    }
    # What somebody waited, in the queue and for approvals too: rules tell of long ones.
    payload["seconds"] = round(((run.ended_at or timezone.now()) - run.created_at).total_seconds(), 3)
    if run.requested_by is not None:
        payload["user_id"] = run.requested_by.public_id
    if run.error_code:
        payload |= {"code": run.error_code, "error": run.error[:ERROR_CHARS]}
    publish_topic(
        organization=organization, source="tasks", resource="task", event=event, resource_id=str(message.pk), payload=payload
    )


def _publish(conversation: Conversation, event: str, payload: dict[str, Any]) -> None:
    organization = _organization(conversation)
    if organization is None:
        return
    about = {"conversation_id": str(conversation.pk), "title": conversation.title} | payload

    def send(payload: dict[str, Any]) -> None:
        publish_topic(
            organization=organization,
            source="conversations",
            resource="conversation",
            event=event,
            resource_id=str(conversation.pk),
            payload=payload,
        )

    try:
        send(about)
    except TooLarge:
        # Text of escapes: the message is where its id leads.
        send(about | {"text": "", "text_truncated": True})


def _organization(conversation: Conversation) -> str | None:
    """Whose topics tell of a conversation: the room's, the application's, else the first of who takes part. None: nobody's."""
    if conversation.organization is not None:
        found: str | None = conversation.organization.public_id
    elif conversation.application is not None:
        found = conversation.application.organization.public_id
    else:
        theirs = Organization.objects.filter(memberships__user__participations__conversation=conversation)
        found = theirs.order_by("memberships__pk").values_list("public_id", flat=True).first()
    # An id that can be no segment, as the admin allows, has no topics. It must not keep a message from being accepted.
    return found if found is not None and SEGMENT.fullmatch(found) else None


def visible_conversations(caller: Caller, organization_id: str, resource_ids: Collection[str]) -> set[str]:
    """Those in which the caller takes part. Ids of other services, which are no UUIDs, are for all members."""
    del organization_id
    ours = _uuids(resource_ids)
    seen = Conversation.objects.filter(seen_by(caller), pk__in=ours.values()).values_list("pk", flat=True)
    # One of ours that was deleted is told to nobody: what is left of it in the backlog is gone, too.
    return {each for each in resource_ids if each not in ours} | {str(pk) for pk in seen}


def visible_tasks(caller: Caller, organization_id: str, resource_ids: Collection[str]) -> set[str]:
    """Those whose conversation the caller takes part in; ids as in `visible_conversations`."""
    del organization_id
    ours = _uuids(resource_ids)
    seen = Message.objects.filter(seen_by(caller, conversation="conversation"), pk__in=ours.values())
    return {each for each in resource_ids if each not in ours} | {str(pk) for pk in seen.values_list("pk", flat=True)}


def running(caller: Caller, organization_id: str, conversation_id: str, message_ids: Collection[str]) -> list[tuple[str, str]]:
    """(message id, conversation id) of the running answers that the caller may see, and of those of these ids."""
    answers = Message.objects.filter(seen_by(caller, conversation="conversation"), role=Message.Role.ASSISTANT)
    if conversation_id != WILDCARD:
        answers = answers.filter(conversation_id__in=_uuids([conversation_id]).values())
    of_them = answers.filter(run__status__in=Run.OPEN) | answers.filter(pk__in=_uuids(message_ids).values())
    rows = of_them.select_related("conversation__organization", "conversation__application__organization").distinct()
    return [(str(each.pk), str(each.conversation_id)) for each in rows if _organization(each.conversation) == organization_id]


def token(event: Event) -> dict[str, Any] | None:
    """What one entry of an answer's stream is as a `message_stream` event: text, or the end; None: nothing."""
    if event.type == Type.TEXT_DELTA:
        return {"text": event.data["text"]}
    if event.type in (Type.COMPLETED, Type.FAILED, Type.CANCELLED):
        return {"text": "", "final": True, "status": event.type.removeprefix("run.")}
    return None


def _uuids(ids: Collection[str]) -> dict[str, uuid.UUID]:
    found = {}
    for each in ids:
        try:
            found[each] = uuid.UUID(each)
        except ValueError:
            continue
    return found


topic_access.authorises("conversations", visible_conversations)
topic_access.authorises("tasks", visible_tasks)
topic_streaming.register(
    topic_streaming.Streaming(
        source="conversations",
        resource="conversation",
        event="message_stream",
        begins="message_started",
        running=running,
        payload=token,
    )
)
