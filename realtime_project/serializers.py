"""How addresses that combine apps tell things, for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from accounts.serializers import CallerSerializer
from events.serializers import SocketCountsSerializer


class MyWorkspaceSerializer(serializers.Serializer[Any]):
    """A workspace of the caller's."""

    id = serializers.CharField()
    name = serializers.CharField()
    organization = serializers.CharField()


class MeSerializer(CallerSerializer):
    """Who asks, with organisations and workspaces."""

    workspaces = MyWorkspaceSerializer(many=True)


class PartsSerializer(serializers.Serializer[Any]):
    """`ok`, or what is wrong with a part and what to do."""

    status = serializers.CharField()
    database = serializers.CharField()
    broker = serializers.CharField()
    worker = serializers.CharField()


class OverviewSerializer(serializers.Serializer[Any]):
    """How the server is; what cannot be known is null."""

    parts = serializers.DictField(child=serializers.CharField())
    connections = SocketCountsSerializer(allow_null=True)
    processes = serializers.ListField(child=serializers.DictField())
    runs = serializers.DictField(allow_null=True)
    lag = serializers.DictField()
