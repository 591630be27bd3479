"""What requests to the engine must look like."""

import json
import re
from typing import Any

from rest_framework import serializers

from events.publishing import TYPE

WHOLE_TYPE = re.compile(rf"\A{TYPE.pattern}\Z", re.ASCII)
"""The field searches for its pattern; the whole type must match."""


class PublicationSerializer(serializers.Serializer[Any]):
    """One event that another service publishes."""

    user = serializers.CharField(required=False, max_length=128)
    stream = serializers.CharField(required=False, max_length=200)
    type = serializers.RegexField(WHOLE_TYPE, max_length=100)
    payload = serializers.DictField(required=False, default=dict)
    scope = serializers.DictField(child=serializers.CharField(), required=False, default=dict)
    idempotency_key = serializers.CharField(required=False, default="", allow_blank=True, max_length=255)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of user and stream, and JSON that every reader can parse."""
        if ("user" in attrs) == ("stream" in attrs):
            raise serializers.ValidationError("Give either user (a user's id) or stream (such as user:<id>).")
        try:
            json.dumps(attrs["payload"], allow_nan=False)
        except ValueError:
            raise serializers.ValidationError("payload must not contain NaN or Infinity: they are not JSON.") from None
        return attrs


class SocketCountsSerializer(serializers.Serializer[Any]):
    """How many sockets are open."""

    total_connections = serializers.IntegerField()
    active_sessions = serializers.IntegerField()
    active_users = serializers.IntegerField()


class CountsByNameSerializer(serializers.Serializer[Any]):
    """Open sockets by session and by user."""

    sessions = serializers.DictField(child=serializers.IntegerField())
    users = serializers.DictField(child=serializers.IntegerField())


class SocketStatsSerializer(SocketCountsSerializer):
    """Open sockets of all processes."""

    details = CountsByNameSerializer()


class OpenConnectionSerializer(serializers.Serializer[Any]):
    """An open socket or stream; `opened_at` in milliseconds since 1970."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    session = serializers.CharField()
    path = serializers.CharField()
    transport = serializers.ChoiceField(choices=("ws", "sse"))
    opened_at = serializers.IntegerField()
    process = serializers.CharField()
