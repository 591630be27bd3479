"""Addresses at which other services post their events, and those at which we post ours."""

import secrets
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import Organization
from events.addresses import LONGEST_URL
from events.webhooks.signatures import new_secret

LONGEST_NAME = 200
LONGEST_REASON = 300


def new_inlet_id() -> str:
    """An unguessable public id for an inlet."""
    return f"in_{secrets.token_hex(16)}"


class WebhookInlet(models.Model):
    """`POST /hooks/{public_id}`: what is posted there becomes an event on a topic of the organisation."""

    public_id = models.CharField(max_length=128, unique=True, default=new_inlet_id)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="webhook_inlets")
    name = models.CharField(max_length=200)
    source = models.CharField(max_length=128, default="apps", help_text="The source segment of its topics.")
    secret = models.CharField(
        max_length=200,
        blank=True,
        default=new_secret,
        help_text="Requests must be signed with it (Standard Webhooks). Empty: whoever knows the address may post.",
    )
    type_path = models.CharField("typePath", max_length=200, default="$.type", help_text="Where the type is, such as order.paid.")
    id_path = models.CharField("idPath", max_length=200, default="$.id", help_text="Where the id of the resource is.")
    payload_path = models.CharField("payloadPath", max_length=200, default="$", help_text="Where the payload is.")
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"


class WebhookEndpoint(models.Model):
    """An address of another service that is told the events of an organisation that match its patterns."""

    class Form(models.TextChoices):
        """What is posted: the event as on all transports, or as a CloudEvent."""

        EVENT = "event"
        CLOUDEVENTS = "cloudevents"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="webhook_endpoints")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    """Who made it: it is told what the owner may see, and its owner is told when it is switched off."""
    url = models.CharField(max_length=LONGEST_URL)
    description = models.CharField(max_length=LONGEST_NAME, blank=True)
    patterns = models.JSONField()
    form = models.CharField(max_length=16, choices=Form.choices, default=Form.EVENT)
    sealed_secret = models.TextField()
    sealed_old_secret = models.TextField(blank=True)
    """The one before, which signs beside the new one until `old_secret_until`."""
    old_secret_until = models.DateTimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    since = models.DateTimeField()
    """When it was made or switched on last: what happened before is not told."""
    failing_since = models.DateTimeField(null=True, blank=True)
    """Since when every attempt failed; empty: the last one did not."""
    off_reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    """Why the server switched it off; empty: it did not."""
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [models.Index(fields=["organization", "created_at"], name="webhook_endpoint_by_age")]

    def __str__(self) -> str:
        return self.description or self.url


class WebhookPosition(models.Model):
    """How far the events of an organisation that has endpoints were compared with their patterns."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, primary_key=True, related_name="+")
    cursor = models.CharField(max_length=64, default="0-0")

    def __str__(self) -> str:
        return f"{self.organization_id} {self.cursor}"


class WebhookDelivery(models.Model):
    """That one event is to be posted to one endpoint, and how it went. Claimed by a lease."""

    class Status(models.TextChoices):
        """Not tried yet; taken by the endpoint; failed, and tried again; failed too often."""

        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"
        DEAD = "dead"

    OPEN = (Status.PENDING, Status.FAILED)
    """Not over."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.CharField(max_length=200)
    """The `webhook-id`: what names the event, the same at every attempt."""
    topic = models.TextField()
    form = models.CharField(max_length=16, choices=WebhookEndpoint.Form.choices)
    body = models.TextField()
    """What is posted, to the byte. JSON as text: a NUL that it may hold is nothing that Postgres stores otherwise."""
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt = models.DateTimeField()
    lease = models.PositiveIntegerField(default=0)
    """Counts the claims: whoever holds an older one may not say how it ended."""
    leased_until = models.DateTimeField(null=True, blank=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    """What the endpoint answered last; empty: nothing."""
    answer = models.TextField(blank=True)
    """The beginning of the body of that answer."""
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    """Why the last attempt failed."""
    created_at = models.DateTimeField(db_default=Now())
    attempted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar = [models.UniqueConstraint(fields=["endpoint", "event_id"], name="webhook_delivery_once")]
        indexes: ClassVar = [
            models.Index(
                fields=["endpoint", "next_attempt"],
                condition=models.Q(status__in=["pending", "failed"]),
                name="webhook_delivery_due",
            ),
            models.Index(fields=["endpoint", "created_at"], name="webhook_delivery_of_endpoint"),
            models.Index(fields=["created_at"], name="webhook_delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} ({self.topic})"
