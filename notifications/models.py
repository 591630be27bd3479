"""What people are told, and what they did with it."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

LONGEST_TITLE = 200
LONGEST_URL = 2000
LONGEST_KEY = 255


class Notification(models.Model):
    """One thing that one user is told, in his inbox until he deletes it or it grows old."""

    class Priority(models.TextChoices):
        """How much it matters, the least first."""

        LOW = "low"
        NORMAL = "normal"
        HIGH = "high"
        CRITICAL = "critical"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications", db_index=False)
    title = models.CharField(max_length=LONGEST_TITLE)
    body = models.TextField(blank=True)
    action_url = models.CharField(max_length=LONGEST_URL, blank=True)
    priority = models.CharField(max_length=16, choices=Priority.choices, default=Priority.NORMAL)
    key = models.CharField(max_length=LONGEST_KEY, null=True, blank=True)
    """What it is about, in the words of who notifies: a user is told of the same key once. Null: of nothing special."""
    created_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    """When its user deleted it. The row stays, emptied, until it is pruned: its key must not bring it back."""

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "key"], name="notification_once")]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created_at", "-id"], condition=models.Q(deleted_at=None), name="notification_of_user"),
            models.Index(fields=["created_at"], name="notification_by_age"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.pk)
