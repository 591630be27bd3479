"""What requests to chat must look like."""

import math
import uuid
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.settings import api_settings

from chat.conf import conf
from chat.engines.text import clean_text
from chat.models import ChatSession, Conversation, Participant
from chat.services.questions import Question


class CleanCharField(serializers.CharField):
    """Text that every store can hold: NUL and lone surrogates are clear errors."""

    def to_internal_value(self, data: Any) -> str:
        """The text; raises `ValidationError`."""
        text: str = super().to_internal_value(data)
        if "\x00" in text:
            raise serializers.ValidationError("The text contains the character NUL, which cannot be kept.")
        if clean_text(text) != text:
            raise serializers.ValidationError("The text contains half of a surrogate pair, which is not a character.")
        return text


class AttachmentSerializer(serializers.Serializer[Any]):
    """A text to answer from."""

    name = CleanCharField(max_length=255)
    text = CleanCharField(max_length=200_000, trim_whitespace=False)


class AskingSerializer(serializers.Serializer[Any]):
    """What goes with every question. Fields it does not know are ignored: the seeds' clients send more."""

    application_id = CleanCharField(required=False, allow_blank=True, default="", max_length=128)
    attachments = serializers.ListField(child=AttachmentSerializer(), required=False, default=list, max_length=20)
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=1_000_000)
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    tools = serializers.ListField(
        child=CleanCharField(max_length=128), required=False, allow_null=True, default=None, max_length=100
    )

    def validate_temperature(self, value: float) -> float:
        """A number: the text "NaN" would pass for one, and no bound refuses it."""
        if not math.isfinite(value):
            raise serializers.ValidationError("A valid number is required.")
        return value

    def asking(self) -> dict[str, Any]:
        """The checked fields, as `Question` has them."""
        data = self.validated_data
        return {
            "application_id": data["application_id"],
            "attachments": [dict(item) for item in data["attachments"]],
            "tools": data["tools"],
            "options": {name: data[name] for name in ("temperature", "max_tokens", "seed") if name in data},
        }


class QuestionSerializer(AskingSerializer):
    """The body of `POST /stream`."""

    question = CleanCharField(trim_whitespace=False)
    conversation_id = serializers.UUIDField(required=False, allow_null=True, default=None, format="hex_verbose")

    def validate_question(self, value: str) -> str:
        """Not only spaces, and not too long."""
        return filled(value)

    def to_question(self) -> Question:
        """The checked request."""
        data = self.validated_data
        return Question(text=data["question"], conversation_id=data["conversation_id"], **self.asking())


class ChatFrameSerializer(AskingSerializer):
    """The frame that asks on the chat socket."""

    content = CleanCharField(trim_whitespace=False)
    chat_id = CleanCharField(required=False, allow_blank=True, allow_null=True, default="", max_length=255)

    def validate_content(self, value: str) -> str:
        """Not only spaces, and not too long."""
        return filled(value)

    def to_question(self, *, session: ChatSession) -> Question:
        """The checked request."""
        data = self.validated_data
        return Question(text=data["content"], conversation=data["chat_id"] or "", session=session, **self.asking())


def filled(text: str, *, what: str = "question") -> str:
    """The text of a question, or whatever it is; raises `ValidationError` when there is none, or too much."""
    if not text.strip():
        raise serializers.ValidationError(f"The {what} is empty.")
    if len(text) > conf.CHAT_QUESTION_MAX_CHARS:
        raise serializers.ValidationError(
            f"The {what} has {len(text)} characters; at most {conf.CHAT_QUESTION_MAX_CHARS} are accepted."
        )
    return text


def first_error(errors: Any, path: str = "") -> str:
    """`attachments.0.name: This field is required.`"""
    if isinstance(errors, Mapping):
        key, value = next((key, value) for key, value in errors.items() if value)
        if key == api_settings.NON_FIELD_ERRORS_KEY:
            return first_error(value, path)
        return first_error(value, f"{path}.{key}" if path else str(key))
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping):
        index = next(number for number, each in enumerate(errors) if each)
        return first_error(errors[index], f"{path}.{index}")
    text = errors[0] if isinstance(errors, list) and errors else errors
    return f"{path}: {text}" if path else str(text)


class ParticipantSerializer(serializers.Serializer[Any]):
    """The body that adds someone to a session."""

    user = CleanCharField(max_length=128)


class RoomParticipantSerializer(serializers.Serializer[Any]):
    """Someone for a room."""

    account_id = CleanCharField(max_length=128)
    kind = serializers.ChoiceField(choices=Participant.Kind.choices, default=Participant.Kind.USER)
    role = serializers.ChoiceField(choices=Participant.Role.choices, default=Participant.Role.MEMBER)
    auto_respond = serializers.BooleanField(default=False)


class RoomSerializer(serializers.Serializer[Any]):
    """The body that makes a room."""

    type = serializers.ChoiceField(choices=Conversation.Type.choices, default=Conversation.Type.STANDARD)
    participants = serializers.ListField(child=RoomParticipantSerializer(), default=list, max_length=1000)
    title = CleanCharField(max_length=200, allow_blank=True, default="")
    organization = CleanCharField(max_length=128, allow_blank=True, default="")


class RoomRightsSerializer(serializers.Serializer[Any]):
    """The body that changes what a participant of a room may do."""

    role = serializers.ChoiceField(choices=Participant.Role.choices, required=False)
    auto_respond = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Not nothing: a misspelt field would seem to have been changed."""
        if not attrs:
            raise serializers.ValidationError("Give role, auto_respond or both.")
        return attrs


class RoomMessageSerializer(AskingSerializer):
    """The body of a message in a room; `application_id` is an agent that is to answer it too."""

    text = CleanCharField(trim_whitespace=False)

    def validate_text(self, value: str) -> str:
        """Not only spaces, and not too long."""
        return filled(value, what="message")

    def to_question(self, *, room_id: uuid.UUID) -> Question:
        """The checked request."""
        return Question(text=self.validated_data["text"], conversation_id=room_id, **self.asking())


class ReadSerializer(serializers.Serializer[Any]):
    """The body that says how far a room was read."""

    message_id = serializers.UUIDField(required=False, allow_null=True, default=None, format="hex_verbose")


class TitleSerializer(serializers.Serializer[Any]):
    """The body that renames a conversation."""

    title = CleanCharField(max_length=200)


class ApplicationNameSerializer(serializers.Serializer[Any]):
    """An application, named."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()


class ApplicationSerializer(ApplicationNameSerializer):
    """An application as those who may ask it know it: not its prompt, which may hold what is not for them."""

    organization = serializers.CharField(source="organization.public_id")
    engine = serializers.CharField()
    tools = serializers.ListField(child=serializers.CharField())


class ConversationSerializer(serializers.Serializer[Any]):
    """A conversation in a list."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    application = ApplicationNameSerializer(allow_null=True)
    updated_at = serializers.DateTimeField()
    running_message_id = serializers.UUIDField(allow_null=True)
    session_id = serializers.UUIDField(allow_null=True)
