"""Webhooks in the admin."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError

from events.exceptions import InvalidRequest
from events.models import WebhookInlet
from events.topics.grammar import SEGMENT
from events.webhooks import signatures as webhook_signatures
from events.webhooks.receiving import check_path


class WebhookInletForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """Refuses what could not be read later."""

    class Meta:
        model = WebhookInlet
        fields: ClassVar = ["organization", "name", "source", "secret", "type_path", "id_path", "payload_path", "is_enabled"]

    def clean(self) -> dict[str, Any]:
        """Each mistake at its field."""
        cleaned: dict[str, Any] = super().clean() or {}
        for name in ("type_path", "id_path", "payload_path"):
            self._checked(name, check_path)
        if cleaned.get("secret"):
            self._checked("secret", webhook_signatures.check_secret)
        if not SEGMENT.fullmatch(cleaned.get("source", "")):
            self.add_error("source", "1 to 128 of the characters A-Z a-z 0-9 _ -.")
        return cleaned

    def _checked(self, name: str, check: Any) -> None:
        try:
            check(self.cleaned_data.get(name, ""))
        except InvalidRequest as error:
            self.add_error(name, ValidationError(error.message))


@admin.register(WebhookInlet)
class WebhookInletAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Where other services post, and how what they post is read."""

    form = WebhookInletForm
    list_display = ("name", "address", "organization", "source", "is_enabled", "created_at")
    list_filter = ("is_enabled",)
    search_fields = ("name", "public_id", "organization__public_id")
    readonly_fields = ("address",)

    @admin.display(description="address")
    def address(self, inlet: WebhookInlet) -> str:
        """Where to post."""
        return f"/hooks/{inlet.public_id}" if inlet.pk else "given when it is saved"
