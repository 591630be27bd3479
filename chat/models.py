"""Conversations, messages, and the runs that answer them."""

import secrets
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models import Organization
from chat.approvals.models import Approval, ApprovalStep
from chat.editing.models import DocumentVersion, EditedDocument
from chat.job_models import Job, Subscription, UsageMonth

__all__ = [
    "Application",
    "Approval",
    "ApprovalStep",
    "ChatSession",
    "Conversation",
    "DocumentVersion",
    "EditedDocument",
    "IdempotencyKey",
    "Job",
    "Message",
    "Participant",
    "Run",
    "SessionParticipant",
    "Subscription",
    "UsageMonth",
    "Worker",
]


def new_application_id() -> str:
    """An unguessable public id for an application."""
    return f"app_{secrets.token_hex(8)}"


class Application(models.Model):
    """A configured assistant: which engine answers, as which model, told what first."""

    public_id = models.CharField(max_length=128, unique=True, default=new_application_id)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="applications")
    name = models.CharField(max_length=200)
    engine = models.CharField(max_length=64, blank=True, help_text="Alias in CHAT_ENGINES; empty: the setting CHAT_ENGINE.")
    model = models.CharField(max_length=200, blank=True)
    system_prompt = models.TextField(blank=True)
    tools = models.JSONField(default=list, blank=True, help_text="Names of the tools its answers may call.")
    sources = models.JSONField(default=list, blank=True, help_text="Ids of the sources its answers rest on.")

    def __str__(self) -> str:
        return self.public_id


class ChatSession(models.Model):
    """What people share on the chat socket: a name that its owner chose, who takes part, and their conversations.

    Its id is made of owner and name (see `chat.services.sessions`): it is known before the row is there.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="chat_sessions")
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "name"], name="chat_session_name_once")]

    def __str__(self) -> str:
        return self.name


class SessionParticipant(models.Model):
    """That a user takes part in a session, and so in each of its conversations."""

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="participants")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="session_participations")
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["session", "user"], name="session_participant_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.session_id}"


class Conversation(models.Model):
    """Who takes part, and the messages in their order.

    One with a `type` is a room: of an organisation, shared by people and agents, on the chat socket a session of its own
    with the same id (see `chat.services.rooms`). One without is somebody's, or some session's, with an assistant.
    """

    class Type(models.TextChoices):
        """Whether the participants of a room may change."""

        STANDARD = "standard"
        IMMUTABLE = "immutable"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(max_length=16, choices=Type.choices, blank=True, help_text="Of a room; empty: it is none.")
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="rooms")
    participants_sha256 = models.CharField(max_length=64, null=True, editable=False, help_text="Of an immutable room.")
    session = models.ForeignKey(ChatSession, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversations")
    application = models.ForeignKey(Application, null=True, blank=True, on_delete=models.SET_NULL, related_name="conversations")
    title = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints: ClassVar = [
            # Of two who ask for the same immutable room at once, one makes it.
            models.UniqueConstraint(fields=["organization", "participants_sha256"], name="immutable_room_once"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Participant(models.Model):
    """That a user, or in a room an application as an agent, takes part in a conversation."""

    class Kind(models.TextChoices):
        """What takes part."""

        USER = "user"
        AGENT = "agent"

    class Role(models.TextChoices):
        """What a participant of a room may do: an owner everything, a member write, a reader read."""

        OWNER = "owner"
        MEMBER = "member"
        READER = "reader"

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="participants")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="participations")
    application = models.ForeignKey(Application, null=True, on_delete=models.CASCADE, related_name="participations")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    auto_respond = models.BooleanField(default=False, help_text="Of an agent: answers every message it may.")
    read_position = models.PositiveIntegerField(default=0, help_text="Position of the last message its user has read.")
    joined_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["conversation", "user"], name="participant_once"),
            models.UniqueConstraint(fields=["conversation", "application"], name="agent_once"),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False) ^ models.Q(application__isnull=False), name="participant_is_one_account"
            ),
        ]

    @property
    def kind(self) -> str:
        """Whether a user or an agent takes part."""
        return self.Kind.AGENT if self.application_id is not None else self.Kind.USER

    def __str__(self) -> str:
        return f"{self.user or self.application} in {self.conversation_id}"


class Message(models.Model):
    """One message. An assistant's message is empty until its run has ended; meanwhile the log holds the text."""

    class Role(models.TextChoices):
        """Who speaks."""

        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=16, choices=Role.choices)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    application = models.ForeignKey(
        Application,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="As which it is answered.",
    )
    question = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="answers", help_text="What an answer answers."
    )
    depth = models.PositiveSmallIntegerField(default=0, help_text="How many answers of agents led here; 0: a person wrote it.")
    text = models.TextField(blank=True)
    thought = models.TextField(blank=True)
    sources = models.JSONField(default=list, blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    attachments = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["conversation", "position"], name="message_position_once")]
        ordering: ClassVar = ["conversation", "position"]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"


class Run(models.Model):
    """The making of one answer; shares its primary key with the assistant's message."""

    class Status(models.TextChoices):
        """Where a run is in its life."""

        QUEUED = "queued"
        RUNNING = "running"
        AWAITING_APPROVAL = "awaiting_approval"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN: ClassVar = (Status.QUEUED, Status.RUNNING, Status.AWAITING_APPROVAL)

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True, related_name="run")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="runs")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED, db_index=True)
    engine = models.CharField(max_length=64, blank=True)
    options = models.JSONField(default=dict, blank=True)
    context = models.JSONField(default=dict, blank=True, help_text="What to answer from, beside the conversation.")
    continuation = models.JSONField(null=True, blank=True, help_text="Where it goes on when its approvals are decided.")
    lease = models.BigIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True, db_index=True)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    head = models.BigIntegerField(default=0, help_text="Id of the last event, once the run has ended.")
    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    retryable = models.BooleanField(default=False)
    finish_reason = models.CharField(max_length=64, blank=True)
    usage = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return f"{self.status} {self.pk}"


class Worker(models.Model):
    """One worker process and the last sign of life it could write here."""

    name = models.CharField(max_length=100, primary_key=True)
    started_at = models.DateTimeField(auto_now_add=True)
    beat_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """That a user's request with this key was accepted, as this answer."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
