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


class NewApiKeySerializer(serializers.Serializer[Any]):
    """A new key, with the key itself: it is told once."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    key = serializers.CharField()
    prefix = serializers.CharField()


class TokenPairSerializer(serializers.Serializer[Any]):
    """What logging in gives."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class TicketSerializer(serializers.Serializer[Any]):
    """A ticket; `path` is what it is for, `expires_in` seconds."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField()
    path = serializers.CharField()


class OrganizationOfMineSerializer(serializers.Serializer[Any]):
    """An organisation of the caller's, and what he is there."""

    id = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()


class CallerSerializer(serializers.Serializer[Any]):
    """Who asks."""

    id = serializers.CharField()
    username = serializers.CharField()
    is_staff = serializers.BooleanField()
    organizations = OrganizationOfMineSerializer(many=True)
