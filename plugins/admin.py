"""Connections in the admin, without their secrets; plugins and their executions. History is only looked at."""

from typing import Any

from django import forms
from django.contrib import admin

from events.admin import ReadOnlyAdmin, pretty_json
from plugins.execution_serializers import PluginToolSerializer
from plugins.models import Connection, Execution, Plugin


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    """Connections to MCP servers."""

    list_display = ("name", "owner", "server_url", "status", "error", "expires_at", "created_at")
    list_filter = ("status",)
    list_select_related = ("owner",)
    search_fields = ("name__startswith", "owner__username", "server_url__startswith")
    exclude = (
        "tools",
        "state_digest",
        "sealed_client_secret",
        "sealed_verifier",
        "sealed_code",
        "sealed_access_token",
        "sealed_refresh_token",
    )
    readonly_fields = ("pretty_tools",)
    ordering = ("-created_at",)

    @admin.display(description="tools")
    def pretty_tools(self, row: Connection) -> str:
        """As JSON."""
        return pretty_json(row.tools)


class PluginForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """A plugin; its tools are what the API takes, too."""

    class Meta:
        model = Plugin
        fields = ("organization", "name", "tools")

    def clean_tools(self) -> list[dict[str, Any]]:
        """Refuses what are no tools."""
        serializer = PluginToolSerializer(data=self.cleaned_data["tools"] or [], many=True)
        if not serializer.is_valid():
            raise forms.ValidationError("Tools are a list of objects with `name` and `description`.")
        return list(map(dict, serializer.validated_data))


@admin.register(Plugin)
class PluginAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Plugins of organisations."""

    form = PluginForm
    list_display = ("name", "organization", "id", "created_at")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__public_id")
    autocomplete_fields = ("organization",)
    readonly_fields = ("id", "created_at")


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    """What plugins and tools did. Values are masked when they are recorded; what runs were given is not shown."""

    list_display = ("tool_name", "plugin", "owner", "status", "error", "created_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("plugin", "owner")
    search_fields = ("id", "tool_name__startswith", "owner__username", "run_id")
    exclude = ("input", "result", "content", "digest", "holder", "idempotency_key")
    readonly_fields = ("pretty_input", "pretty_result")
    ordering = ("-created_at",)

    @admin.display(description="input")
    def pretty_input(self, row: Execution) -> str:
        """As JSON."""
        return pretty_json(row.input)

    @admin.display(description="result")
    def pretty_result(self, row: Execution) -> str:
        """As JSON."""
        return pretty_json(row.result)
