"""Shapes of the bodies that accounts reads and writes."""

from typing import Any

from rest_framework import serializers

from accounts.bodies import TextField
from accounts.credentials import LONGEST_CREDENTIAL
from accounts.models import ApiKey


class LoginBody(serializers.Serializer[Any]):
    """A name and a password."""

    username = TextField(max_length=150)
    password = TextField(max_length=4096, trim_whitespace=False)


class RefreshBody(serializers.Serializer[Any]):
    """A refresh token."""

    refresh = TextField(max_length=LONGEST_CREDENTIAL)


class TicketBody(serializers.Serializer[Any]):
    """The path that a ticket is for."""

    path = TextField(max_length=8000)


class ApiKeyBody(serializers.Serializer[Any]):
    """What its owner calls a key."""

    name = TextField(max_length=200)


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key as it is listed: never the key itself."""

    class Meta:
        model = ApiKey
        fields = ("id", "name", "prefix", "created_at")
