"""The journal's tables."""

from typing import ClassVar

from django.db import models

from events.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookInlet, WebhookPosition

__all__ = [
    "DurableStream",
    "JournalEvent",
    "OutboxEvent",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookInlet",
    "WebhookPosition",
]


class DurableStream(models.Model):
    """One durable stream: its name, the lease number its writer must hold, and when it ended."""

    name = models.CharField(max_length=200, unique=True)
    lease = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return self.name


class JournalEvent(models.Model):
    """One event of a durable stream, as it was published."""

    # No index of its own: the unique constraint below begins with it, and this table is written all the time.
    stream = models.ForeignKey(DurableStream, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    type = models.CharField(max_length=100)
    data = models.JSONField()
    at = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "seq"], name="journal_event_once")]
        ordering: ClassVar = ["stream", "seq"]

    def __str__(self) -> str:
        return f"{self.stream_id}#{self.seq} {self.type}"


class OutboxEvent(models.Model):
    """An event that was committed with its cause and is on its way to the broker."""

    stream = models.CharField(max_length=200)
    type = models.CharField(max_length=100)
    data = models.JSONField()
    key = models.CharField(max_length=200, blank=True)
    """Under which the broker takes it once only; empty: a key made of this row."""
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.type} for {self.stream}"
