"""Notifications in the admin: history, to be looked at."""

from django.contrib import admin

from events.admin import ReadOnlyAdmin
from notifications.inbox import state_of
from notifications.models import Notification


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
