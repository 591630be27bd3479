"""What requests about endpoints must look like, and how endpoints and deliveries are told."""

from typing import Any

from rest_framework import serializers

from accounts.bodies import TextField
from events.models import WebhookDelivery, WebhookEndpoint


class WebhookFieldsSerializer(serializers.Serializer[Any]):
    """The body of a new webhook; a change names only what changes. What each may say is known to `events.webhooks.endpoints`."""

    url = TextField(help_text="Where events are posted: https://, without user name and fragment.")
    patterns = serializers.ListField(child=TextField(), max_length=1000, help_text="Which topics it is told.")
    description = TextField(required=False, allow_blank=True)
    form = serializers.ChoiceField(choices=WebhookEndpoint.Form.choices, required=False, help_text="What is posted.")
    enabled = serializers.BooleanField(required=False)


class NewWebhookSerializer(WebhookFieldsSerializer):
    """And the secret, for those who have one already."""

    secret = TextField(required=False, help_text="`whsec_` and base64 of 16 to 128 bytes; without it one is made.")


class WebhookSecretSerializer(serializers.Serializer[Any]):
    """A new secret for a webhook."""

    secret = TextField(required=False, help_text="`whsec_` and base64 of 16 to 128 bytes; without it one is made.")
    at_once = serializers.BooleanField(required=False, help_text="Whether the old secret signs no more from now on.")


class WebhookSerializer(serializers.Serializer[WebhookEndpoint]):
    """A webhook as admins see it; its secret is never told again."""

    id = serializers.UUIDField()
    organization = serializers.CharField(source="organization.public_id")
    owner = serializers.CharField(source="owner.public_id", default=None, allow_null=True)
    url = serializers.CharField()
    description = serializers.CharField()
    patterns = serializers.ListField(child=serializers.CharField())
    form = serializers.ChoiceField(choices=WebhookEndpoint.Form.choices)
    enabled = serializers.BooleanField()
    off_reason = serializers.CharField(help_text="Why the server switched it off; empty: it did not.")
    failing_since = serializers.DateTimeField(allow_null=True)
    old_secret_until = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook whose secret is told, this once."""

    secret = serializers.CharField()

    def __init__(self, instance: WebhookEndpoint | None = None, *, secret: str = "", **options: Any) -> None:
        self._secret = secret
        super().__init__(instance, **options)

    def to_representation(self, instance: WebhookEndpoint) -> dict[str, Any]:
        """The endpoint, and what its row does not hold."""
        return dict(WebhookSerializer(instance).data) | {"secret": self._secret}


class WebhookDeliverySerializer(serializers.Serializer[WebhookDelivery]):
    """A delivery, and how its last attempt went."""

    id = serializers.UUIDField()
    webhook_id = serializers.CharField(source="event_id", help_text="The header of the same name: one event, one id.")
    topic = serializers.CharField(help_text="Empty: word that events are missing.")
    status = serializers.ChoiceField(choices=WebhookDelivery.Status.choices)
    attempts = serializers.IntegerField()
    next_attempt = serializers.SerializerMethodField()
    status_code = serializers.IntegerField(allow_null=True)
    answer = serializers.CharField()
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    attempted_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_next_attempt(self, row: WebhookDelivery) -> str | None:
        """When it is tried next; null when it is over."""
        return row.next_attempt.isoformat().replace("+00:00", "Z") if row.status in WebhookDelivery.OPEN else None


class WholeWebhookDeliverySerializer(WebhookDeliverySerializer):
    """And what is posted."""

    body = serializers.CharField()
