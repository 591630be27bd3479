"""Documents and their versions in the admin: read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from chat.models import DocumentVersion, EditedDocument
from chat.services import inspecting
from events.admin import ReadOnlyAdmin, list_link, pretty_json

IDS_OR_USER = "An id, or a user's name or public id"


@admin.register(EditedDocument)
class EditedDocumentAdmin(ReadOnlyAdmin):
    """Documents under change."""

    list_display = ("id_text", "title", "owner", "head", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("pk", "owner__username", "owner__public_id")
    search_help_text = IDS_OR_USER
    matching = staticmethod(inspecting.documents_like)
    ordering = ("-updated_at",)
    sortable_by = ("updated_at",)
    fields = ("id", "title", "owner", "conversation", "head", "created_at", "updated_at", "versions_link")

    @admin.display(description="document")
    def id_text(self, row: EditedDocument) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="versions")
    def versions_link(self, row: EditedDocument) -> str:
        """To its versions, in pages."""
        return list_link(DocumentVersion, "versions", q=str(row.pk))


@admin.register(DocumentVersion)
class DocumentVersionAdmin(ReadOnlyAdmin):
    """What became of documents, and by whom. Not their HTML: it is long, and its scripts are still in it."""

    list_display = ("id_text", "document", "number", "origin", "summary", "author", "created_at")
    list_filter = ("origin",)
    list_select_related = ("document", "author")
    search_fields = ("pk", "author__username", "author__public_id")
    search_help_text = IDS_OR_USER
    matching = staticmethod(inspecting.versions_like)
    ordering = ("-created_at",)
    sortable_by = ()
    fields = (
        "id",
        "document",
        "number",
        "origin",
        "summary",
        "restored",
        "turn",
        "author",
        "run",
        "batch_id",
        "pretty_changes",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without what may be megabytes in every row."""
        return super().get_queryset(request).defer("html", "chunks")

    @admin.display(description="version")
    def id_text(self, row: DocumentVersion) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="changes")
    def pretty_changes(self, row: DocumentVersion) -> SafeString:
        """What was changed, and why."""
        return pretty_json(row.changes)
