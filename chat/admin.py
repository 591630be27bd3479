"""Conversations, messages and runs in the admin: read-only, but for applications."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from chat import job_admin  # noqa: F401 - registers them
from chat.approvals import admin as approvals_admin  # noqa: F401 - registers them
from chat.editing import admin as editing_admin  # noqa: F401 - likewise
from chat.models import Application, ChatSession, Conversation, Message, Participant, Run, SessionParticipant, Worker
from chat.services import applications, inspecting
from chat.services.questions import message_stream
from chat.sweep import silence_seconds
from events.admin import CappedPaginator, ReadOnlyAdmin, list_link, live_link, pretty_json, row_link

EXCERPT_CHARS = 80
IDS_OR_USER = "An id, or a user's name or public id"


def _excerpt(text: str) -> str:
    line = " ".join(text[: EXCERPT_CHARS * 4].split())
    return line if len(line) <= EXCERPT_CHARS else line[:EXCERPT_CHARS] + "..."


class ApplicationForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """An application as it is edited: what would fail every answer is refused when it is saved."""

    engine = forms.ChoiceField(required=False, help_text="Which engine of CHAT_ENGINES answers.")
    tools = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple, help_text="What its answers may call.")

    class Meta:
        model = Application
        fields = ("public_id", "organization", "name", "engine", "model", "system_prompt", "tools", "sources")
        help_texts: ClassVar = {
            "model": "As its engine calls it; empty: the engine's own choice.",
            "sources": "Ids of sources that the organisation shares, as a JSON list; its answers then rest on them only.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Of this moment: both depend on settings.
        engine, tools = self.fields["engine"], self.fields["tools"]
        engine.choices = [("", "the setting CHAT_ENGINE"), *((alias, alias) for alias in sorted(settings.CHAT_ENGINES))]  # type: ignore[attr-defined]
        tools.choices = [(name, name) for name in applications.known_tools(self.instance)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Everything together; each problem beside its field."""
        fields: dict[str, Any] = super().clean() or {}
        # An empty field of JSON is None to Django, which the column does not take.
        fields["sources"] = fields.get("sources") or []
        found = applications.problems(organization=fields.get("organization"), fields=fields)
        for name, problem in found.items():
            if name not in self.errors:
                self.add_error(name, problem)
        return fields


def _user_id(request: HttpRequest) -> str:
    return str(request.user.public_id)  # type: ignore[union-attr]


@admin.register(Application)
class ApplicationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Configured assistants: the one thing here that people edit."""

    form = ApplicationForm

    def save_model(self, request: HttpRequest, obj: Application, form: Any, change: bool) -> None:  # noqa: ARG002 - Django's signature
        """Saved by the service, which tells the workspaces."""
        applications.save(application=obj, changed_by=_user_id(request))

    def delete_model(self, request: HttpRequest, obj: Application) -> None:
        """Deleted by the service."""
        applications.delete(application=obj, changed_by=_user_id(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        """Each deleted by the service."""
        for each in queryset:
            self.delete_model(request, each)

    list_display = ("public_id", "name", "organization", "engine", "model")
    list_select_related = ("organization",)
    search_fields = ("public_id", "name", "organization__public_id")
    autocomplete_fields = ("organization",)
    show_full_result_count = False
    paginator = CappedPaginator


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """The making of answers."""

    list_display = ("id_text", "status", "worker", "lease", "requested_by", "error_code", "created_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("requested_by",)
    search_fields = ("pk",)
    search_help_text = f"{IDS_OR_USER}, or the beginning of a worker's name"
    matching = staticmethod(inspecting.runs_like)
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    fields = (
        "message_link",
        "stream_link",
        *("status", "worker", "lease", "requested_by", "engine", "pretty_options"),
        *("created_at", "started_at", "stop_requested_at", "ended_at", "head"),
        *("error_code", "error", "retryable", "finish_reason", "pretty_usage"),
    )

    @admin.display(description="run")
    def id_text(self, row: Run) -> str:
        """The run's id, which is its message's and its job's."""
        return str(row.pk)

    @admin.display(description="message")
    def message_link(self, row: Run) -> str:
        """To the answer."""
        return row_link(row.message, str(row.pk))

    @admin.display(description="stream")
    def stream_link(self, row: Run) -> str:
        """To what the log holds of the answer now."""
        return live_link(message_stream(row.pk).name)

    @admin.display(description="options")
    def pretty_options(self, row: Run) -> SafeString:
        """What the request asked of the engine."""
        return pretty_json(row.options)

    @admin.display(description="usage")
    def pretty_usage(self, row: Run) -> SafeString:
        """Tokens used."""
        return pretty_json(row.usage)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """Questions and answers."""

    list_display = ("id_text", "conversation_link", "position", "role", "excerpt", "created_at")
    list_filter = ("role",)
    list_select_related = ("conversation",)
    search_fields = ("pk",)
    search_help_text = IDS_OR_USER
    matching = staticmethod(inspecting.messages_like)
    ordering = ("conversation_id", "position")
    sortable_by = ()
    fields = (
        *("conversation_link", "position", "role", "author", "created_at", "run_link", "stream_link"),
        *("text", "thought", "pretty_sources", "pretty_tool_calls", "pretty_attachments"),
    )

    @admin.display(description="message")
    def id_text(self, row: Message) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="conversation")
    def conversation_link(self, row: Message) -> str:
        """To the conversation."""
        return row_link(row.conversation)

    @admin.display(description="run")
    def run_link(self, row: Message) -> str:
        """To the run that made it, if one did."""
        return row_link(getattr(row, "run", None))

    @admin.display(description="stream")
    def stream_link(self, row: Message) -> str:
        """To what the log holds of it now; questions have no stream."""
        return live_link(message_stream(row.pk).name) if hasattr(row, "run") else "-"

    @admin.display(description="text")
    def excerpt(self, row: Message) -> str:
        """The beginning of the text."""
        return _excerpt(row.text)

    @admin.display(description="sources")
    def pretty_sources(self, row: Message) -> SafeString:
        """What the answer rests on."""
        return pretty_json(row.sources)

    @admin.display(description="tool calls")
    def pretty_tool_calls(self, row: Message) -> SafeString:
        """What the engine wanted called."""
        return pretty_json(row.tool_calls)

    @admin.display(description="attachments")
    def pretty_attachments(self, row: Message) -> SafeString:
        """What came with the question."""
        return pretty_json(row.attachments)


class SessionParticipantInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """Who takes part in a session; read-only like it."""

    model = SessionParticipant
    fields = ("user", "joined_at")
    readonly_fields = ("user", "joined_at")
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Never."""
        return False


@admin.register(ChatSession)
class ChatSessionAdmin(ReadOnlyAdmin):
    """What people share on the chat socket."""

    list_display = ("name", "owner", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "owner__public_id")
    ordering = ("-updated_at", "-pk")
    sortable_by = ()
    fields = ("id", "name", "owner", "created_at", "updated_at")
    inlines = (SessionParticipantInline,)


class ParticipantInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """Who takes part; read-only like its conversation."""

    model = Participant
    fields = ("user", "application", "role", "auto_respond", "joined_at")
    readonly_fields = fields
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Never."""
        return False


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """Conversations; those with a type are rooms."""

    list_display = ("id_text", "title", "type", "application", "updated_at")
    list_filter = ("type",)
    list_select_related = ("application",)
    search_fields = ("pk",)
    search_help_text = IDS_OR_USER
    matching = staticmethod(inspecting.conversations_like)
    ordering = ("-updated_at", "-pk")
    sortable_by = ("updated_at",)
    fields = ("id", "title", "type", "organization", "application", "session", "created_at", "updated_at", "messages_link")
    inlines = (ParticipantInline,)

    @admin.display(description="conversation")
    def id_text(self, row: Conversation) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="messages")
    def messages_link(self, row: Conversation) -> str:
        """To its messages, in pages."""
        return list_link(Message, "messages", q=str(row.pk))


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    """Who takes part in what."""

    list_display = ("user", "application", "role", "conversation")
    list_select_related = ("user", "application", "conversation")
    search_fields = ("user__username", "user__public_id")
    ordering = ("-pk",)
    sortable_by = ()


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Worker processes and their signs of life."""

    list_display = ("name", "living", "started_at", "beat_at")
    search_fields = ("name",)
    ordering = ("-beat_at",)

    @admin.display(description="living", boolean=True)
    def living(self, row: Worker) -> bool:
        """Whether its last sign of life is recent enough."""
        return (timezone.now() - row.beat_at).total_seconds() < silence_seconds()
