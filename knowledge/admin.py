"""Sources and their ingestions in the admin: to be looked at."""

from django.contrib import admin
from django.utils.html import format_html

from events.admin import ReadOnlyAdmin, pretty_json, row_link
from knowledge.models import Chunk, Document, Ingestion, Source

EXCERPT_CHARS = 160


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    """Sources and attachments."""

    list_display = ("name", "purpose", "owner", "organization", "kind", "status", "generation", "chunks", "created_at")
    list_filter = ("purpose", "status", "kind")
    list_select_related = ("owner", "organization")
    search_fields = ("name__startswith", "owner__username", "storage_key")
    exclude = ("metadata", "file")
    readonly_fields = ("storage_key", "pretty_metadata")
    ordering = ("-created_at",)

    @admin.display(description="metadata")
    def pretty_metadata(self, row: Source) -> str:
        """As JSON."""
        return pretty_json(row.metadata)


@admin.register(Ingestion)
class IngestionAdmin(ReadOnlyAdmin):
    """Every taking in, and why it ended."""

    list_display = ("id", "source_link", "operation", "status", "percent", "attempts", "worker", "created_at", "ended_at")
    list_filter = ("status", "operation")
    list_select_related = ("source",)
    ordering = ("-created_at",)

    @admin.display(description="source")
    def source_link(self, row: Ingestion) -> str:
        """To the source."""
        return row_link(row.source)


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    """Documents of all generations."""

    list_display = ("path", "source", "generation", "media_type", "chars", "tokens", "created_at")
    list_select_related = ("source",)
    search_fields = ("path__startswith",)
    ordering = ("-pk",)


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    """Chunks, without their embeddings."""

    list_display = ("document", "position", "heading", "tokens", "excerpt")
    list_select_related = ("document",)
    list_filter = ()
    exclude = ("metadata",)
    readonly_fields = ("pretty_metadata",)
    ordering = ("-pk",)

    @admin.display(description="text")
    def excerpt(self, row: Chunk) -> str:
        """Its beginning."""
        return format_html("{}", row.text[:EXCERPT_CHARS])

    @admin.display(description="metadata")
    def pretty_metadata(self, row: Chunk) -> str:
        """As JSON."""
        return pretty_json(row.metadata)
