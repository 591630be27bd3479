"""Notifications in the admin: history, to be looked at."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from events.admin import ReadOnlyAdmin
from notifications import deliveries
from notifications.inbox import state_of
from notifications.models import Delivery, Notification, Rule


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """What users were told, and what they did with it; of what they deleted only that they did."""

    list_display = ("__str__", "user", "priority", "state", "created_at")
    list_filter = ("priority",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__public_id__startswith", "key__startswith", "title")
    search_help_text = "A user's name or public id, the beginning of a key, or words of a title"
    ordering = ("-created_at",)
    sortable_by = ("created_at",)

    @admin.display(description="state")
    def state(self, row: Notification) -> str:
        """One of unseen, seen, read, archived, deleted."""
        return "deleted" if row.deleted_at is not None else str(state_of(row))


@admin.register(Rule)
class RuleAdmin(ReadOnlyAdmin):
    """The rules of all organisations, and why they failed last; they are changed on the page, where they are checked."""

    list_display = ("name", "organization", "owner", "pattern", "priority", "enabled", "failed_at")
    list_filter = ("enabled", "priority", "builtin")
    list_select_related = ("organization", "owner")
    search_fields = ("name", "organization__public_id", "pattern", "owner__username")
    ordering = ("-created_at",)
    sortable_by = ("created_at", "failed_at")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Who is to be told of what by which rule, and how it went. Those that are dead can be tried again."""

    list_display = ("title", "user", "channel", "status", "reason", "attempts", "due_at", "rule", "created_at")
    list_filter = ("status", "channel", "priority")
    list_select_related = ("user", "rule")
    search_fields = ("user__username", "user__public_id__startswith", "event_id", "rule__name")
    search_help_text = "A user's name or public id, the id of an event, or words of a rule's name"
    ordering = ("-created_at",)
    sortable_by = ("created_at", "due_at")
    actions = ("replay",)

    @admin.action(description="Try dead deliveries again", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """From the beginning, with all their attempts."""
        count = deliveries.replay(queryset, now=timezone.now())
        self.message_user(request, f"{count} dead deliveries are tried again; the others are left as they are.")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Who may look at deliveries may have them tried again."""
        return self.has_view_permission(request)
