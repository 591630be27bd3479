"""The journal in the admin, read-only, and the live backlog of any stream."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from events import inspecting
from events.connection_admin import connections_view
from events.event import EVENT_TYPES, Event
from events.exceptions import InvalidRequest, Unavailable
from events.models import DurableStream, JournalEvent
from events.read_only_admin import CappedPaginator, ReadOnlyAdmin
from events.streams import KINDS, format_cursor
from events.webhooks import admin as webhook_admin  # noqa: F401 - registers them
from events.webhooks import endpoint_admin as webhook_endpoint_admin  # noqa: F401 - registers them

EXCERPT_CHARS = 120

__all__ = ["CappedPaginator", "ReadOnlyAdmin", "list_link", "live_link", "pretty_json", "row_link"]


def pretty_json(value: object) -> SafeString:
    """Indented JSON for a page. What UTF-8 cannot say (half a surrogate pair) is shown as an escape."""
    text = json.dumps(value, indent=2, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return format_html('<pre class="pretty-json">{}</pre>', text)


def row_link(row: Model | None, text: str = "") -> str:
    """A link to a row's page in the admin; a dash for no row."""
    if row is None:
        return "-"
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, text or str(row))


def list_link(model: type[Model], text: str, **query: str) -> str:
    """A link to a filtered list in the admin."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(query), text)


def live_link(name: str) -> str:
    """A link to what the log holds of a stream at this moment."""
    return format_html('<a href="{}?{}">{}</a>', reverse("admin:events_live"), urlencode({"stream": name}), name)


@admin.register(DurableStream)
class DurableStreamAdmin(ReadOnlyAdmin):
    """Durable streams, by name."""

    list_display = ("name", "lease", "created_at", "ended_at", "events_link", "live")
    search_fields = ("name",)
    search_help_text = "The beginning of a stream's name, for example message:5f3c"
    matching = staticmethod(inspecting.streams_like)
    fields = ("name", "lease", "created_at", "ended_at", "events_link", "live")
    ordering = ("-pk",)
    sortable_by = ("name", "created_at", "ended_at")

    def get_urls(self) -> list[URLPattern]:
        """And the pages of live backlogs and of open connections."""
        return [
            path("live/", self.admin_site.admin_view(self.live_view), name="events_live"),
            path("connections/", self.admin_site.admin_view(connections_view), name="events_connections"),
            *super().get_urls(),
        ]

    @admin.display(description="events")
    def events_link(self, row: DurableStream) -> str:
        """To the events of this stream, in pages."""
        return list_link(JournalEvent, "events", stream__id__exact=str(row.pk))

    @admin.display(description="live")
    def live(self, row: DurableStream) -> str:
        """To what the log holds now."""
        return live_link(row.name)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """`/admin/events/durablestream/live/?stream=kind:id`: head and events of any stream, newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        name, before = request.GET.get("stream", "").strip(), request.GET.get("before", "")
        page = {"title": "Live backlog of a stream", "name": name, "kinds": list(KINDS), "before": before}
        status = 200
        if name:
            try:
                page |= _backlog_page(name, before)
            except InvalidRequest as error:
                page["error"], status = error.message, error.http_status
            except Unavailable as error:
                page["error"], status = error.message, error.http_status
        context = self.admin_site.each_context(request) | page
        return TemplateResponse(request, "admin/events/live.html", context, status=status)


def _backlog_page(name: str, before: str) -> dict[str, Any]:
    stream = inspecting.named_stream(name)
    found = inspecting.look(stream=stream, before=inspecting.parse_before(stream, before))
    return {
        "found": found,
        "head": format_cursor(stream, found.head),
        "journaled": format_cursor(stream, found.journaled) if found.journaled else None,
        "rows": [_row(event, format_cursor(stream, event.id)) for event in found.events],
        "older": urlencode({"stream": stream.name, "before": format_cursor(stream, found.older)}) if found.older else "",
    }


def _row(event: Event, event_id: str) -> dict[str, Any]:
    at = datetime.fromtimestamp(event.at / 1000, UTC)
    return {"id": event_id, "type": event.type, "at": at, "age": timesince(at, timezone.now()), "data": pretty_json(event.data)}


class TypeFilter(admin.SimpleListFilter):
    """By type. The registry knows the types: asking the table for them would read all of it."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Every registered type."""
        return [(name, name) for name in EVENT_TYPES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """The events of that type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(JournalEvent)
class JournalEventAdmin(ReadOnlyAdmin):
    """Events of durable streams. Without a stream named, only the newest are looked through."""

    list_display = ("seq", "type", "stream_link", "made_at", "excerpt")
    list_filter = (TypeFilter,)
    list_select_related = ("stream",)
    search_fields = ("stream__name",)
    search_help_text = (
        f"A stream's name or its beginning (the first {inspecting.MATCHING_STREAMS} such streams). "
        f"Without one: the {inspecting.RECENT_EVENTS} events journaled last."
    )
    fields = ("stream_link", "seq", "type", "made_at", "pretty_data")
    sortable_by = ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By the beginning of the stream's name; without one, the newest events only."""
        text = search_term.strip()
        if text:
            return inspecting.events_like(queryset, text), False
        return (queryset if _names_a_stream(request) else inspecting.recent_events(queryset)), False

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """In the order of the stream, else newest first."""
        return ("stream_id", "seq") if _names_a_stream(request) else ("-pk",)

    @admin.display(description="stream")
    def stream_link(self, row: JournalEvent) -> str:
        """The stream's page."""
        return row_link(row.stream)

    @admin.display(description="made at")
    def made_at(self, row: JournalEvent) -> datetime:
        """When the event was made."""
        return datetime.fromtimestamp(row.at / 1000, UTC)

    @admin.display(description="data")
    def excerpt(self, row: JournalEvent) -> str:
        """The beginning of the data."""
        text = json.dumps(row.data, ensure_ascii=False)
        return text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + "..."

    @admin.display(description="data")
    def pretty_data(self, row: JournalEvent) -> SafeString:
        """The data, indented."""
        return pretty_json(row.data)


def _names_a_stream(request: HttpRequest) -> bool:
    return bool(request.GET.get("q", "").strip() or request.GET.get("stream__id__exact"))
