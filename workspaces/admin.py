"""Workspaces in the admin."""

from django.contrib import admin
from django.http import HttpRequest

from workspaces.models import Workspace, WorkspaceMember


class WorkspaceMemberInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """Who belongs to a workspace."""

    model = WorkspaceMember
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Workspaces and their members."""

    list_display = ("public_id", "name", "organization")
    search_fields = ("public_id", "name", "organization__public_id")
    list_select_related = ("organization",)
    autocomplete_fields = ("organization",)
    inlines = (WorkspaceMemberInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Workspace | None = None) -> tuple[str, ...]:  # noqa: ARG002 - Django's signature
        """Topics and addresses name the public id: it stays once given."""
        return ("public_id",) if obj else ()
