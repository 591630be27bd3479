"""How chat's addresses tell things: the shapes of what services describe, for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from chat.models import Approval, Conversation, Message, Participant, Run


class FailureTold(serializers.Serializer[Any]):
    """Why an answer failed."""

    code = serializers.CharField()
    message = serializers.CharField()
    retryable = serializers.BooleanField()


class MessageTold(serializers.Serializer[Any]):
    """A message; `html` once an answer has ended."""

    id = serializers.UUIDField()
    role = serializers.ChoiceField(choices=Message.Role.values)
    text = serializers.CharField()
    html = serializers.CharField(allow_null=True)
    thought = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField())
    status = serializers.ChoiceField(choices=Run.Status.values, allow_null=True)
    error = FailureTold(allow_null=True)
    created_at = serializers.DateTimeField()


class SessionMessageTold(MessageTold):
    """A message of a session, and where it is."""

    chat_id = serializers.UUIDField()
    session_id = serializers.UUIDField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)


class AuthorTold(serializers.Serializer[Any]):
    """Who wrote a message; `account_id` null: gone."""

    account_id = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=Participant.Kind.values)
    name = serializers.CharField()


class RoomMessageTold(MessageTold):
    """A message of a room."""

    author = AuthorTold()
    position = serializers.IntegerField()
    question_id = serializers.UUIDField(allow_null=True)


class PostedMessageTold(RoomMessageTold):
    """A new message of a room, and the answers that have begun."""

    answers = serializers.ListField(child=serializers.UUIDField())


class ExcerptTold(serializers.Serializer[Any]):
    """The beginning of a message."""

    id = serializers.UUIDField()
    author = AuthorTold()
    text = serializers.CharField()
    status = serializers.ChoiceField(choices=Run.Status.values, allow_null=True)
    created_at = serializers.DateTimeField()


class ParticipantTold(serializers.Serializer[Any]):
    """Someone in a room."""

    account_id = serializers.CharField()
    kind = serializers.ChoiceField(choices=Participant.Kind.values)
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Participant.Role.values)
    auto_respond = serializers.BooleanField()


class RoomTold(serializers.Serializer[Any]):
    """A room; `role` is the caller's own."""

    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=[each for each in Conversation.Type.values if each])
    title = serializers.CharField()
    organization = serializers.CharField(allow_null=True)
    participants = ParticipantTold(many=True)
    role = serializers.ChoiceField(choices=Participant.Role.values)
    unread = serializers.IntegerField()
    running_message_id = serializers.UUIDField(allow_null=True)
    last_message = ExcerptTold(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class AccountTold(serializers.Serializer[Any]):
    """Someone who can be in a room."""

    id = serializers.CharField()
    name = serializers.CharField()


class AccountsTold(serializers.Serializer[Any]):
    """Who can be in a room, of one organisation."""

    organization = serializers.CharField()
    name = serializers.CharField()
    people = AccountTold(many=True)
    agents = AccountTold(many=True)


class SessionTold(serializers.Serializer[Any]):
    """A session of the chat socket."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    owner = serializers.CharField()
    participants = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OpenSessionTold(SessionTold):
    """A session with the answers in it that are not over."""

    running = serializers.ListField(child=serializers.UUIDField())


class TailTold(serializers.Serializer[Any]):
    """An answer now."""

    message_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Run.Status.values)
    response = serializers.CharField()
    thought = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField())
    tool_calls = serializers.ListField(child=serializers.DictField())
    last_event_id = serializers.CharField(help_text="Up to here; a cursor.")
    last_heartbeat_at = serializers.DateTimeField(allow_null=True)
    error = FailureTold(allow_null=True)


class StoppedTold(serializers.Serializer[Any]):
    """An answer that was told to end."""

    success = serializers.BooleanField()
    message_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Run.Status.values)


class CompletionTold(serializers.Serializer[Any]):
    """A whole answer of the RAG chat; `missing`: named sources that are not there."""

    content = serializers.CharField()
    sources = serializers.ListField(child=serializers.DictField())
    missing = serializers.ListField(child=serializers.CharField(), required=False)
    completed = serializers.BooleanField()
    message_id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    usage = serializers.DictField()


class StepTold(serializers.Serializer[Any]):
    """One thing that happened to an approval."""

    at = serializers.DateTimeField()
    what = serializers.CharField()
    by = serializers.CharField(allow_null=True)
    via = serializers.CharField()
    note = serializers.CharField()


class DeciderTold(serializers.Serializer[Any]):
    """Who decided."""

    id = serializers.CharField()
    username = serializers.CharField()


class ApprovalTold(serializers.Serializer[Any]):
    """What an answer asks before it goes on."""

    id = serializers.UUIDField()
    batch_id = serializers.UUIDField()
    batch_total = serializers.IntegerField()
    position = serializers.IntegerField()
    message_id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Approval.Kind.values)
    subject = serializers.CharField()
    title = serializers.CharField()
    reason = serializers.CharField()
    payload = serializers.JSONField()
    payload_sha256 = serializers.CharField()
    schema = serializers.JSONField()
    status = serializers.ChoiceField(choices=Approval.Status.values)
    may_decide = serializers.BooleanField()
    requested_by = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    decided_by = DeciderTold(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    feedback = serializers.CharField()
    edited_payload = serializers.JSONField()


class ApprovalWithHistoryTold(ApprovalTold):
    """An approval, and what happened to it."""

    history = StepTold(many=True)
