"""What requests to chat must look like."""

from typing import Any

from rest_framework import serializers

from chat.conf import conf
from chat.engines.text import clean_text
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


class QuestionSerializer(serializers.Serializer[Any]):
    """The body of `POST /stream`. Fields it does not know are ignored: S0's clients send more."""

    question = CleanCharField(trim_whitespace=False)
    conversation_id = serializers.UUIDField(required=False, allow_null=True, default=None, format="hex_verbose")
    application_id = CleanCharField(required=False, allow_blank=True, default="", max_length=128)
    attachments = serializers.ListField(child=AttachmentSerializer(), required=False, default=list, max_length=20)
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=1_000_000)
    seed = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)

    def validate_question(self, value: str) -> str:
        """Not only spaces, and not too long."""
        if not value.strip():
            raise serializers.ValidationError("The question is empty.")
        if len(value) > conf.CHAT_QUESTION_MAX_CHARS:
            raise serializers.ValidationError(
                f"The question has {len(value)} characters; at most {conf.CHAT_QUESTION_MAX_CHARS} are accepted."
            )
        return value

    def to_question(self) -> Question:
        """The checked request."""
        data = self.validated_data
        return Question(
            text=data["question"],
            conversation_id=data["conversation_id"],
            application_id=data["application_id"],
            attachments=[dict(item) for item in data["attachments"]],
            options={name: data[name] for name in ("temperature", "max_tokens", "seed") if name in data},
        )


class TitleSerializer(serializers.Serializer[Any]):
    """The body that renames a conversation."""

    title = CleanCharField(max_length=200)


class ConversationSerializer(serializers.Serializer[Any]):
    """A conversation in a list."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    updated_at = serializers.DateTimeField()
    running_message_id = serializers.UUIDField(allow_null=True)
