"""Jobs of seed 003, and what accounts have used of their months."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from chat.editing.models import DocumentVersion


class Job(models.Model):
    """What makes a run a job: which document it edits, how, in which turn of its session, and what it counts for."""

    class Mode(models.TextChoices):
        """Whether someone must agree to what it proposes."""

        APPROVE_ALL = "approve_all"
        ASK_EVERY_TIME = "ask_every_time"

    run = models.OneToOneField("chat.Run", on_delete=models.CASCADE, primary_key=True, related_name="job")
    session = models.ForeignKey("chat.ChatSession", on_delete=models.CASCADE, related_name="jobs")
    mode = models.CharField(max_length=16, choices=Mode.choices, default=Mode.APPROVE_ALL)
    turn = models.PositiveIntegerField(help_text="The number of its question in the session, from 1.")
    version = models.ForeignKey(
        DocumentVersion,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="What it begins with, if anything.",
    )
    month = models.DateField(help_text="The month it is counted in.")
    usage = models.JSONField(default=dict, help_text="What its client is told of the account's month.")
    result = models.JSONField(null=True, help_text="What it came to, without the document itself.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["session", "turn"], name="job_turn_once")]

    def __str__(self) -> str:
        return str(self.pk)


class Subscription(models.Model):
    """The tier of an account that has another than USAGE_TIER."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="subscription")
    tier = models.CharField(max_length=64, help_text="One of USAGE_TIERS.")

    def __str__(self) -> str:
        return f"{self.user}: {self.tier}"


class UsageMonth(models.Model):
    """How many jobs an account has used in a month (its first day, in UTC)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage_months")
    month = models.DateField()
    used = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "month"], name="usage_month_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.month:%Y-%m}: {self.used}"
