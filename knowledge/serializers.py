"""What requests about sources must look like, and how sources are told."""

import json
from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from events.event import storable
from knowledge.models import Source
from knowledge.services.sources import NewSource, new_text

MOST_METADATA = 8192


class MetadataField(serializers.JSONField):
    """An object of our users' own, for filters; in a form, its JSON."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The object; raises `ValidationError`."""
        if isinstance(data, str):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                raise serializers.ValidationError("metadata must be a JSON object.") from None
        if not isinstance(data, dict):
            raise serializers.ValidationError("metadata must be a JSON object.")
        if not _fits(data):
            raise serializers.ValidationError(
                f"metadata must be JSON of at most {MOST_METADATA} characters, without NUL, half characters, NaN and Infinity."
            )
        return data


def _fits(data: dict[str, Any]) -> bool:
    try:
        return storable(data) == data and len(json.dumps(data, allow_nan=False)) <= MOST_METADATA
    except (ValueError, RecursionError):
        return False


class NewSourceSerializer(serializers.Serializer[Any]):
    """`{name, text}` as JSON, or a form with `file` and, if it shall be called otherwise, `name`."""

    name = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")
    text = serializers.CharField(required=False, trim_whitespace=False)
    file = serializers.FileField(required=False, max_length=255, allow_empty_file=True)
    organization = serializers.CharField(max_length=128, required=False, allow_blank=True, default="")
    embedding_model = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    metadata = MetadataField(required=False, default=dict)

    def validate_text(self, value: str) -> str:
        """Something must be in it."""
        if not value.strip():
            raise serializers.ValidationError("The text is empty.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Either a text with a name or a file."""
        if ("text" in attrs) == ("file" in attrs):
            raise serializers.ValidationError('Send either a form with a `file`, or JSON: {"name": ..., "text": ...}.')
        attrs["name"] = attrs["name"] or (attrs["file"].name if "file" in attrs else "")
        if not attrs["name"]:
            raise serializers.ValidationError({"name": "Give the text a name."})
        return attrs

    def to_new_source(self, *, purpose: str) -> tuple[NewSource, Iterable[bytes]]:
        """The checked request, and the bytes of its file."""
        data = self.validated_data
        common = {key: data[key] for key in ("organization", "embedding_model", "metadata")} | {"purpose": purpose}
        if "text" in data:
            return new_text(name=data["name"], text=data["text"], **common)
        return NewSource(name=data["name"], file_name=data["file"].name, **common), data["file"].chunks()


class SourceSerializer(serializers.Serializer[Source]):
    """A source or an attachment as it is told to those who may see it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    status = serializers.CharField()
    error = serializers.CharField()
    kind = serializers.CharField()
    searchable = serializers.SerializerMethodField()
    percent = serializers.SerializerMethodField()
    generation = serializers.IntegerField()
    embedding_model = serializers.CharField()
    chunks = serializers.IntegerField()
    tokens = serializers.IntegerField()
    chars = serializers.IntegerField()
    metadata = serializers.JSONField()
    owner = serializers.CharField(source="owner.public_id")
    organization = serializers.CharField(source="organization.public_id", allow_null=True, default=None)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_searchable(self, source: Source) -> bool:
        """Whether a complete generation is there, old or new."""
        return source.generation > 0

    def get_percent(self, source: Source) -> int:
        """How far the open ingestion is; 100 when none is open and the source can be searched."""
        if source.status not in Source.OPEN:
            return 100 if source.status == Source.Status.READY else 0
        last = max(source.ingestions.all(), key=lambda each: each.generation, default=None)
        return last.percent if last is not None else 0


class AttachmentSerializer(SourceSerializer):
    """An attachment, with the key that requests name it by."""

    storage_key = serializers.CharField()


class SearchSerializer(serializers.Serializer[Any]):
    """The query of a search in one source."""

    q = serializers.CharField(max_length=10_000)
    strategy = serializers.ChoiceField(choices=["merge", "sequential", "ensemble"], default="ensemble")
    limit = serializers.IntegerField(min_value=1, max_value=50, default=5)
    similarity_threshold = serializers.FloatField(min_value=-1, max_value=1, default=0.5)


class PassageSerializer(serializers.Serializer[Any]):
    """A passage that a search found."""

    chunk_id = serializers.IntegerField()
    score = serializers.FloatField()
    similarity = serializers.FloatField()
    text = serializers.CharField()
    heading = serializers.CharField()
    title = serializers.CharField()
    path = serializers.CharField()
    position = serializers.IntegerField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    document_id = serializers.IntegerField()
    source_id = serializers.UUIDField()
    source_name = serializers.CharField()
    storage_key = serializers.CharField()
    metadata = serializers.DictField()
