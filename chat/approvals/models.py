"""What waits for a human, what was decided about it, and by whom."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Approval(models.Model):
    """One thing that a run may not do by itself: exactly this payload, to be decided once."""

    class Kind(models.TextChoices):
        """What is asked."""

        TOOL_CALL = "tool_call"
        PROPOSED_CHANGE = "proposed_change"
        INPUT = "input"
        CONFIRMATION = "confirmation"

    class Status(models.TextChoices):
        """What became of it."""

        PENDING = "pending"
        APPROVED = "approved"
        DENIED = "denied"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey("chat.Run", on_delete=models.CASCADE, related_name="approvals")
    batch_id = models.UUIDField(db_index=True, help_text="What was asked at once; the run goes on when all of it is decided.")
    batch_total = models.PositiveSmallIntegerField()
    position = models.PositiveSmallIntegerField(help_text="Its place in the batch, from 0.")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    subject = models.CharField(max_length=200, help_text="The id of the tool call or of the change.")
    title = models.CharField(max_length=200, help_text="The tool's name, or what it is about.")
    reason = models.TextField(blank=True)
    payload = models.JSONField(help_text="Exactly what would be done.")
    payload_sha256 = models.CharField(max_length=64)
    schema = models.JSONField(null=True, help_text="JSON schema of an edited payload or a response; null: not editable.")
    deciders = ArrayField(models.CharField(max_length=200), help_text="participants, requester, admins, user:<public id>")
    escalates_to = ArrayField(models.CharField(max_length=200), default=list, help_text="Who may decide after escalates_at, too.")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    reminds_at = models.DateTimeField(null=True)
    escalates_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)
    feedback = models.TextField(blank=True)
    edited_payload = models.JSONField(null=True, help_text="What is done instead of the payload.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch_id", "position"], name="approval_place_once")]
        indexes: ClassVar = [
            # Few are open, however many were decided.
            models.Index(fields=["expires_at"], name="approval_open", condition=models.Q(status="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.title}"


class ApprovalStep(models.Model):
    """One line of an approval's history: what happened, when, and who did it (null: the server)."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="history")
    at = models.DateTimeField(auto_now_add=True)
    what = models.CharField(max_length=20)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    via = models.CharField(max_length=20, blank=True, help_text="How it was decided: rest, stream, link.")
    note = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["approval", "pk"]

    def __str__(self) -> str:
        return f"{self.what} {self.approval_id}"
