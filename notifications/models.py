"""What people are told, and what they did with it."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import Organization

LONGEST_TITLE = 200
LONGEST_URL = 2000
LONGEST_KEY = 255
LONGEST_PATTERN = 3000


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


class Channel(models.TextChoices):
    """Ways to reach someone, in the words of the wire."""

    WEBSOCKET = "websocket"
    PUSH = "push"
    EMAIL = "email"


class Rule(models.Model):
    """Whom an organisation's events are told to, how, and in which words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="rules")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    """Who hears when it fails. Nobody owns what is built in: its failures go to the organisation's admins."""
    builtin = models.CharField(max_length=64, blank=True)
    """Which of the built-in rules it is; empty: none."""
    name = models.CharField(max_length=LONGEST_TITLE)
    pattern = models.CharField(max_length=LONGEST_PATTERN)
    condition = models.TextField(blank=True)
    priority = models.CharField(max_length=16, choices=Notification.Priority.choices, default=Notification.Priority.NORMAL)
    title = models.TextField()
    body = models.TextField(blank=True)
    action_url = models.TextField(blank=True)
    channels = models.JSONField(default=list)
    recipients = models.JSONField(default=list)
    throttle_limit = models.PositiveIntegerField(null=True, blank=True)
    throttle_seconds = models.PositiveIntegerField(null=True, blank=True)
    digest_seconds = models.PositiveIntegerField(null=True, blank=True)
    always = models.BooleanField(default=False)
    """Whether mail and push go also to those who are there to see it on a page."""
    enabled = models.BooleanField(default=True)
    since = models.DateTimeField(null=True, blank=True)
    """Events before this are not told: it is new, or was off then. Null: all."""
    created_at = models.DateTimeField(db_default=Now())
    failure = models.TextField(blank=True)
    """Why it last failed at an event."""
    failed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "builtin"], condition=~models.Q(builtin=""), name="builtin_rule_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["organization", "-created_at", "-id"], name="rule_of_organization")]

    def __str__(self) -> str:
        return self.name


class Position(models.Model):
    """How far an organisation's events have been compared with its rules. Its row is the lock of the comparing."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, primary_key=True, related_name="+")
    cursor = models.CharField(max_length=40, default="0-0")
    event_at = models.DateTimeField(null=True, blank=True)
    """When the last event happened that was compared."""

    def __str__(self) -> str:
        return f"{self.organization} {self.cursor}"


class Delivery(models.Model):
    """That one event is to reach one user in one way because of one rule: done once, tried until it is."""

    class Status(models.TextChoices):
        """`held` waits for the worker; the others are ends, of which an operator can replay `dead`."""

        HELD = "held"
        SENT = "sent"
        SKIPPED = "skipped"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.CharField(max_length=64)
    topic = models.CharField(max_length=LONGEST_PATTERN)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=16, choices=Channel.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.HELD)
    reason = models.CharField(max_length=200, blank=True)
    """Why it was skipped, or what failed last."""
    priority = models.CharField(max_length=16, choices=Notification.Priority.choices)
    title = models.CharField(max_length=LONGEST_TITLE)
    body = models.TextField(blank=True)
    action_url = models.CharField(max_length=LONGEST_URL, blank=True)
    notification = models.ForeignKey(Notification, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    """What it put into the inbox, where it did."""
    happened_at = models.DateTimeField()
    digest = models.UUIDField(null=True, blank=True)
    """Those with the same one are told together."""
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    lease = models.PositiveIntegerField(default=0)
    """Counts the claims: whoever holds an older one may not say how it ended."""
    leased_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rule", "event_id", "user", "channel"], name="delivery_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], condition=models.Q(status="held"), name="delivery_due"),
            models.Index(fields=["rule", "user", "happened_at"], name="delivery_throttle"),
            models.Index(fields=["digest"], condition=models.Q(status="held"), name="delivery_digest"),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.title} by {self.channel}"


class Preference(models.Model):
    """What one user wants to be told, of a rule or of all, in one way or in all. The more special one decides."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    channel = models.CharField(max_length=16, choices=Channel.choices, blank=True)
    enabled = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "rule", "channel"], nulls_distinct=False, name="preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.channel or 'all'}: {'on' if self.enabled else 'off'}"


class QuietHours(models.Model):
    """When push and mail wait for one user: from `begins` to `ends` by the clock of his time zone, every day."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    begins = models.TimeField()
    ends = models.TimeField()
    time_zone = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "quiet hours"

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M} {self.time_zone}"


class Activity(models.Model):
    """When a user was last seen to do something on a page: an open tab alone says nothing."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    active_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "activities"

    def __str__(self) -> str:
        return f"{self.active_at}"


class PushSubscription(models.Model):
    """A browser that takes pushes for one user (RFC 8030), and the keys that only it can read them with (RFC 8291)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="push_subscriptions")
    digest = models.CharField(max_length=64, unique=True)
    """SHA-256 of the endpoint: a browser belongs to whoever subscribed last with it."""
    endpoint = models.CharField(max_length=LONGEST_URL)
    p256dh = models.CharField(max_length=128)
    auth = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.pk)


class PushKey(models.Model):
    """The key pair that the pushes of this server are signed with (VAPID, RFC 8292): made once, the one row."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    private_pem = models.TextField()
    public_key = models.CharField(max_length=128)

    def __str__(self) -> str:
        return self.public_key


class PushReceipt(models.Model):
    """That a push service has taken a delivery for one browser: another try does not send it there again."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="+")
    subscription = models.ForeignKey(PushSubscription, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["delivery", "subscription"], name="push_receipt_once")]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.subscription_id}"
