"""Addresses at which other services post their events."""

import secrets

from django.db import models

from accounts.models import Organization
from events.webhook_signatures import new_secret


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
