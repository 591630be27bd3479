"""Jobs and usage in the admin: jobs are history, months can be corrected, tiers are given."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from chat.models import Job, Subscription, UsageMonth
from chat.services import inspecting, usage
from events.admin import ReadOnlyAdmin, pretty_json, row_link

LIKE = "The id of a job, or a user's name or public id"


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs of seed 003: which document, in which turn, and what they counted for."""

    list_display = ("id_text", "status", "session", "turn", "mode", "was_billable", "requested_by", "created_at")
    list_filter = ("mode",)
    list_select_related = ("run__requested_by", "session")
    search_fields = ("pk",)
    search_help_text = LIKE
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    fields = (
        *("run_link", "session", "turn", "mode", "version", "month", "pretty_usage", "pretty_result", "created_at"),
        *("status", "error"),
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """By id, or by who asked."""
        return inspecting.jobs_like(queryset, search_term), False

    @admin.display(description="job")
    def id_text(self, row: Job) -> str:
        """The id that clients know."""
        return str(row.pk)

    @admin.display(description="run")
    def run_link(self, row: Job) -> str:
        """To the run that does it."""
        return row_link(row.run)

    @admin.display
    def status(self, row: Job) -> str:
        """The run's."""
        return row.run.status

    @admin.display
    def error(self, row: Job) -> str:
        """The run's."""
        return row.run.error

    @admin.display
    def requested_by(self, row: Job) -> str:
        """Whose month it counts for."""
        return str(row.run.requested_by or "")

    @admin.display(boolean=True)
    def was_billable(self, row: Job) -> bool:
        """Whether it counts."""
        return bool(row.usage.get("was_billable"))

    @admin.display(description="usage")
    def pretty_usage(self, row: Job) -> SafeString:
        """What its client was told."""
        return pretty_json(row.usage)

    @admin.display(description="result")
    def pretty_result(self, row: Job) -> SafeString:
        """What it came to."""
        return pretty_json(row.result)


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """A tier that there is."""

    tier = forms.ChoiceField(help_text="One of USAGE_TIERS, each with how many jobs a month it allows.")

    class Meta:
        model = Subscription
        fields = ("user", "tier")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(name, f"{name} ({limit or 'no limit'})") for name, limit in usage.tiers().items()]
        self.fields["tier"].choices = named  # type: ignore[attr-defined]


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The accounts that have another tier than the usual one."""

    form = SubscriptionForm
    list_display = ("user", "tier")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__public_id")
    autocomplete_fields: ClassVar = ["user"]


@admin.register(UsageMonth)
class UsageMonthAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What accounts have used; to be corrected where a job should not have counted."""

    list_display = ("user", "month", "used", "of")
    list_select_related = ("user",)
    list_filter = ("month",)
    search_fields = ("user__username", "user__public_id")
    readonly_fields = ("user", "month")
    ordering = ("-month", "-used")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """A month begins with its first job."""
        return False

    @admin.display
    def of(self, row: UsageMonth) -> str:
        """What its tier allows."""
        limit = usage.of_month(user_pk=row.user_id, month=row.month).monthly_limit
        return str(limit) if limit else "no limit"
