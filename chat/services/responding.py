"""Who answers a message, and how their answers begin."""

import uuid
from collections.abc import Sequence
from typing import Any

from chat.conf import conf
from chat.jobs import defer_answer
from chat.models import Application, Conversation, Message, Participant, Run
from chat.run_events import Type
from chat.services import conversations, telling
from chat.services.applications import grounding_of
from events import journal
from events.event import Event, EventId
from events.exceptions import InvalidRequest
from events.publishing import now_ms
from events.streams import Stream


def message_stream(message_id: uuid.UUID) -> Stream:
    """The durable stream of an answer."""
    return Stream("message", str(message_id))


def respondents(conversation: Conversation, *, addressed: str = "", writer: int | None = None) -> list[Application | None]:
    """Who answers a message there; None: the engine, without an application.

    In a room: its agents that respond by themselves and the one that is `addressed` (a public id), in the order in which they
    came, but for those that may only read and the one (`writer`, a primary key) that wrote it. Raises `InvalidRequest`.
    """
    if not conversation.type:
        return [conversation.application]
    agents = list(
        Participant.objects.filter(conversation=conversation, application__isnull=False)
        .exclude(role=Participant.Role.READER)
        .select_related("application__organization")
        .order_by("joined_at", "pk")
    )
    if addressed and addressed not in [each.application.public_id for each in agents if each.application]:
        raise InvalidRequest(f"{addressed} is no agent that can answer in this room. Add it first, or leave application_id out.")
    return [
        each.application
        for each in agents
        if each.application and each.application_id != writer and (each.auto_respond or each.application.public_id == addressed)
    ]


def begin(
    *,
    asked: Message,
    applications: Sequence[Application | None],
    requested_by_id: int | None,
    options: dict[str, Any],
    context: dict[str, Any],
) -> list[Message]:
    """Writes for each of the applications an empty answer, its run, the first event and the job.

    Within a transaction that has locked the conversation. `context` is that of the run; without a `grounding` it gets the
    application's.
    """
    conversation = asked.conversation
    first = conversations.next_position(conversation)
    answers = [
        Message(
            conversation=conversation,
            position=position,
            role=Message.Role.ASSISTANT,
            application=application,
            question=asked,
            depth=asked.depth + 1,
        )
        for position, application in enumerate(applications, start=first)
    ]
    Message.objects.bulk_create(answers)
    for answer in answers:
        _begin_run(answer, requested_by_id, options, context)
    return answers


def _begin_run(answer: Message, requested_by_id: int | None, options: dict[str, Any], context: dict[str, Any]) -> None:
    application = answer.application
    Run.objects.create(
        message=answer,
        requested_by_id=requested_by_id,
        engine=application.engine if application else "",
        options=options,
        context=context | {"grounding": context.get("grounding") or grounding_of(application)},
    )
    started = {"message_id": str(answer.pk), "conversation_id": str(answer.conversation_id)}
    journal.create(stream=message_stream(answer.pk), events=[Event(EventId(1, 0), Type.STARTED, started, now_ms())])
    defer_answer(answer.pk)
    telling.answer_changed(message=answer, type=Type.MESSAGE_STARTED, status=Run.Status.QUEUED)


def pass_on(*, answer: Message, run: Run) -> None:
    """Has the other agents of a room answer an agent's complete answer, asked by who asked for that one.

    With the transaction that ends it. No more than CHAT_ROOM_AGENT_DEPTH answers follow each other without a person's
    message: agents that answer each other would never end.
    """
    conversation = answer.conversation
    if not conversation.type or run.status != Run.Status.COMPLETED:
        return
    if answer.depth >= conf.CHAT_ROOM_AGENT_DEPTH or not answer.text:
        return
    Conversation.objects.select_for_update(of=("self",), no_key=True).get(pk=conversation.pk)
    begin(
        asked=answer,
        applications=respondents(conversation, writer=answer.application_id),
        requested_by_id=run.requested_by_id,
        options=run.options,
        context={},
    )
