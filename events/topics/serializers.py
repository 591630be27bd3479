"""What is accepted when events are published on topics."""

import json
from typing import Any

from rest_framework import serializers

from events.exceptions import InvalidRequest
from events.topics.grammar import Topic, make_topic, parse_topic

NAMES = ("organization", "source", "resource", "event", "resource_id")


class TopicPublicationSerializer(serializers.Serializer[Any]):
    """One event: on a `topic`, or on the one that its segments make."""

    topic = serializers.CharField(required=False, max_length=2100)
    organization = serializers.CharField(required=False, max_length=128)
    source = serializers.CharField(required=False, max_length=128)  # type: ignore[assignment]
    resource = serializers.CharField(required=False, max_length=128)
    event = serializers.CharField(required=False, max_length=128)
    resource_id = serializers.CharField(required=False, max_length=128)
    filters = serializers.DictField(child=serializers.CharField(max_length=128), required=False, default=dict)
    payload = serializers.DictField(required=False, default=dict)
    tags = serializers.ListField(child=serializers.CharField(max_length=128), required=False, default=list, max_length=32)
    idempotency_key = serializers.CharField(required=False, default="", allow_blank=True, max_length=255)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one way to name the topic, and JSON that every reader can parse."""
        try:
            json.dumps(attrs["payload"], allow_nan=False)
        except ValueError:
            raise serializers.ValidationError("payload must not contain NaN or Infinity: they are not JSON.") from None
        try:
            return attrs | {"topic": _topic_of(attrs)}
        except InvalidRequest as error:
            raise serializers.ValidationError(error.message) from None


class PublishedSerializer(serializers.Serializer[Any]):
    """An event that was published: its id, its topic, and its place."""

    id = serializers.CharField()
    topic = serializers.CharField()
    cursor = serializers.CharField()


def _topic_of(attrs: dict[str, Any]) -> Topic:
    if "topic" in attrs:
        if attrs["filters"] or any(name in attrs for name in NAMES):
            raise InvalidRequest("Give either topic or its segments, not both.")
        return parse_topic(attrs["topic"])
    missing = [name for name in NAMES if name not in attrs]
    if missing:
        raise InvalidRequest(f"Give topic, or {', '.join(NAMES)}; missing: {', '.join(missing)}.")
    return make_topic(**{name: attrs[name] for name in NAMES}, filters=attrs["filters"])
