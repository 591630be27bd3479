"""Connections in the admin: to be looked at, without their secrets."""

from django.contrib import admin

from events.admin import ReadOnlyAdmin, pretty_json
from plugins.models import Connection


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
