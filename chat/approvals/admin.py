"""Approvals in the admin: history, and so read-only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from chat.models import Approval, ApprovalStep
from chat.services import inspecting
from events.admin import ReadOnlyAdmin, pretty_json, row_link


class StepInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """What happened to an approval, line by line."""

    model = ApprovalStep
    fields = ("at", "what", "actor", "via", "note")
    readonly_fields = fields
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Never."""
        return False


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """What runs have asked, and who decided it when."""

    list_display = ("id_text", "kind", "title", "status", "requested_by", "decided_by", "created_at", "decided_at")
    list_filter = ("status", "kind")
    list_select_related = ("requested_by", "decided_by")
    search_fields = ("pk",)
    search_help_text = "The id of an approval, batch or answer, or the name or public id of who asked or decided"
    matching = staticmethod(inspecting.approvals_like)
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    fields = (
        *("run_link", "kind", "subject", "title", "reason", "pretty_payload", "payload_sha256", "pretty_schema"),
        *("batch_id", "batch_total", "position", "deciders", "escalates_to", "requested_by", "created_at"),
        *("reminds_at", "escalates_at", "expires_at", "status", "decided_by", "decided_at", "feedback", "pretty_edit"),
    )
    inlines = (StepInline,)

    @admin.display(description="approval")
    def id_text(self, row: Approval) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="run")
    def run_link(self, row: Approval) -> str:
        """To the run that asked."""
        return row_link(row.run)

    @admin.display(description="payload")
    def pretty_payload(self, row: Approval) -> SafeString:
        """Exactly what was asked about."""
        return pretty_json(row.payload)

    @admin.display(description="schema")
    def pretty_schema(self, row: Approval) -> SafeString:
        """What an edit must fit."""
        return pretty_json(row.schema)

    @admin.display(description="edited payload")
    def pretty_edit(self, row: Approval) -> SafeString:
        """What is done instead."""
        return pretty_json(row.edited_payload)
