"""What requests about connections must look like, and how connections are told: never with their secrets."""

from typing import Any

from rest_framework import serializers

from plugins.models import Connection
from plugins.services import NewConnection


class NewConnectionSerializer(serializers.Serializer[Any]):
    """`{name, server_url}`, and what the user knows of its authorization server."""

    name = serializers.CharField(max_length=200)
    server_url = serializers.CharField(max_length=2000)
    authorization_endpoint = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    token_endpoint = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    client_id = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    client_secret = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    scopes = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")

    def to_new_connection(self) -> NewConnection:
        """The checked request."""
        return NewConnection(**self.validated_data)


class ConnectionSerializer(serializers.Serializer[Connection]):
    """A connection as its owner sees it."""

    id = serializers.UUIDField()
    task_id = serializers.UUIDField()
    name = serializers.CharField()
    server_url = serializers.CharField()
    status = serializers.CharField()
    error = serializers.CharField()
    scopes = serializers.CharField()
    tools = serializers.JSONField()
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
