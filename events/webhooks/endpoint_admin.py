"""Endpoints and their deliveries in the admin: looked at, switched, tested, and sent again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from events.exceptions import Conflict
from events.models import WebhookDelivery, WebhookEndpoint
from events.read_only_admin import ReadOnlyAdmin
from events.webhooks import deliveries as webhook_deliveries
from events.webhooks import endpoints as webhook_endpoints


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Where the events of organisations are posted. Registered and changed over REST, where the secret is told."""

    list_display = ("__str__", "organization", "owner", "url", "enabled", "off_reason", "failing_since", "created_at")
    list_filter = ("enabled", "form")
    list_select_related = ("organization", "owner")
    search_fields = ("url", "description", "organization__public_id", "owner__username")
    search_help_text = "Words of the address or the description, an organisation's id, or the name of who registered it"
    exclude = ("sealed_secret", "sealed_old_secret")
    ordering = ("-created_at",)
    sortable_by = ("created_at", "failing_since")
    actions = ("switch_on", "switch_off", "send_test")

    @admin.action(description="Switch on", permissions=["operate"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """What waits goes on, and what happens from now on is told."""
        count = sum(webhook_endpoints.switch_on(each) for each in queryset)
        self.message_user(request, f"{count} webhooks are switched on; the others were on.")

    @admin.action(description="Switch off", permissions=["operate"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """Their owners are told."""
        for each in queryset:
            webhook_endpoints.switch_off(each, reason="An operator has switched it off.")
        self.message_user(request, "They are switched off. What waits is kept.")

    @admin.action(description="Send a test event", permissions=["operate"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """To those that are on."""
        for each in queryset.select_related("organization"):
            try:
                webhook_deliveries.send_test(each)
            except Conflict as error:
                self.message_user(request, f"{each}: {error.message}", messages.WARNING)
            else:
                self.message_user(request, f"{each}: a test event is on its way; see its deliveries.")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Who may look at webhooks may do these."""
        return self.has_view_permission(request)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Which event is posted to which endpoint, and how it went. What is over can be sent again."""

    list_display = ("topic", "endpoint", "status", "status_code", "reason", "attempts", "next_attempt", "created_at")
    list_filter = ("status", "form")
    list_select_related = ("endpoint",)
    search_fields = ("event_id", "topic", "endpoint__url", "endpoint__organization__public_id")
    search_help_text = "The id of an event, words of a topic or an address, or an organisation's id"
    ordering = ("-created_at",)
    sortable_by = ("created_at", "next_attempt")
    actions = ("redeliver",)

    @admin.action(description="Send again", permissions=["redeliver"])
    def redeliver(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        """From the beginning, with all attempts, under the same webhook-id."""
        count = webhook_deliveries.redeliver(queryset, now=timezone.now())
        self.message_user(request, f"{count} deliveries are sent again, those of webhooks that are off when they are on.")

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        """Who may look at deliveries may have them sent again."""
        return self.has_view_permission(request)
