"""What requests about plugins and executions must look like, and how these are told."""

from typing import Any

from rest_framework import serializers

from accounts.bodies import TextField
from plugins.conf import conf
from plugins.execution_events import BY_FRAME
from plugins.executions import Report
from plugins.models import Execution, Plugin


class PluginToolSerializer(serializers.Serializer[Any]):
    """`{name, description}`."""

    name = TextField(max_length=200)
    description = TextField(max_length=1000, required=False, allow_blank=True, default="")


class NewPluginSerializer(serializers.Serializer[Any]):
    """`{name, organization, tools}`."""

    name = TextField(max_length=200)
    organization = TextField(max_length=128, required=False, allow_blank=True, default="")
    tools = PluginToolSerializer(many=True, required=False, default=list)


class PluginSerializer(serializers.Serializer[Plugin]):
    """A plugin as members of its organisation see it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    organization = serializers.CharField(source="organization.public_id")
    tools = serializers.JSONField()
    created_at = serializers.DateTimeField()


class NewExecutionSerializer(serializers.Serializer[Any]):
    """`{tool_name, input}`."""

    tool_name = TextField(max_length=200)
    input = serializers.JSONField(required=False, default=dict)


class ExecutionSerializer(serializers.Serializer[Execution]):
    """An execution as those who may see it do."""

    id = serializers.UUIDField()
    plugin_id = serializers.UUIDField()
    plugin = serializers.CharField(source="plugin.name")
    tool_name = serializers.CharField()
    status = serializers.CharField()
    input = serializers.JSONField()
    result = serializers.JSONField()
    error = serializers.CharField()
    owner = serializers.CharField(source="owner.public_id")
    run_id = serializers.CharField()
    call_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField()


class ReportSerializer(serializers.Serializer[Any]):
    """`{type, data}`, a frame of the debug socket without its number."""

    type = serializers.ChoiceField(choices=sorted(BY_FRAME))
    data = serializers.DictField(required=False, default=dict)  # type: ignore[assignment] # a field of that name, which DRF allows


class BatchSerializer(serializers.Serializer[Any]):
    """`{events: [...]}`."""

    events = ReportSerializer(many=True, allow_empty=False)

    def validate_events(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuses more than PLUGINS_BATCH_MAX."""
        if len(events) > conf.PLUGINS_BATCH_MAX:
            raise serializers.ValidationError(f"At most {conf.PLUGINS_BATCH_MAX} events are accepted at once.")
        return events

    def to_reports(self) -> list[Report]:
        """The checked events."""
        return [(BY_FRAME[each["type"]], each["data"]) for each in self.validated_data["events"]]
