"""Connections to MCP servers; plugins, and what is recorded of their executions."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization


class Connection(models.Model):
    """A user's authorization at an MCP server, and how it is obtained.

    Everything `sealed_` is encrypted (see `events/sealing.py`); of the OAuth `state` only a digest is kept.
    """

    class Status(models.TextChoices):
        """Where it is."""

        QUEUED = "queued"
        IN_PROGRESS = "in_progress"
        AWAITING_REDIRECT = "awaiting_redirect"
        COMPLETED = "completed"
        FAILED = "failed"

    class Step(models.TextChoices):
        """What a worker does next: find out where to send the user, or get the tokens."""

        PREPARE = "prepare"
        FINISH = "finish"

    WORKING: ClassVar = (Status.QUEUED, Status.IN_PROGRESS)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="connections")
    name = models.CharField(max_length=200)
    server_url = models.CharField(max_length=2000)
    redirect_uri = models.CharField(max_length=2000)
    issuer = models.CharField(max_length=2000, blank=True)
    names_issuer = models.BooleanField(default=False)
    authorization_endpoint = models.CharField(max_length=2000, blank=True)
    token_endpoint = models.CharField(max_length=2000, blank=True)
    client_id = models.CharField(max_length=500, blank=True)
    client_auth = models.CharField(max_length=40, blank=True)
    scopes = models.CharField(max_length=2000, blank=True)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    step = models.CharField(max_length=16, choices=Step.choices, default=Step.PREPARE)
    error = models.TextField(blank=True)
    tools = models.JSONField(default=list, blank=True)
    state_digest = models.CharField(max_length=64, null=True, unique=True)
    state_expires_at = models.DateTimeField(null=True)
    sealed_client_secret = models.TextField(blank=True)
    sealed_verifier = models.TextField(blank=True)
    sealed_code = models.TextField(blank=True)
    sealed_access_token = models.TextField(blank=True)
    sealed_refresh_token = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    """When the access token ends; null: its server did not say."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at"], name="connection_of_owner"),
            models.Index(fields=["status", "updated_at"], name="connection_by_status"),
        ]

    def __str__(self) -> str:
        return self.name


BUILT_IN = uuid.UUID("5c6d3c62-5a30-4b3e-9f0e-7b8a0a5f3d11")
"""The plugin whose tools are those of `plugins/tools/`."""


class Plugin(models.Model):
    """Something that does work for an organisation and reports how. Without an organisation it is the server's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="plugins")
    name = models.CharField(max_length=200)
    tools = models.JSONField(default=list, blank=True, help_text="Objects with `name` and `description`.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["organization", "name"], name="plugin_name_once")]

    def __str__(self) -> str:
        return self.name


class Execution(models.Model):
    """One use of a plugin's tool. Its id is the secret that opens its debug socket; its events are in `execution:{id}`.

    `input`, `result` and `error` are masked and cut, as people see them; `content` is what the run gets of a tool call.
    A tool call is held by who makes it, until `held_until`: see `plugins/tools/claims.py`.
    """

    class Status(models.TextChoices):
        """Where it is. Unknown: it was cut off while it ran, and nobody can say what it did."""

        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        UNKNOWN = "unknown"

    OPEN: ClassVar = (Status.PENDING, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="executions")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="executions")
    tool_name = models.CharField(max_length=200)
    input = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    content = models.JSONField(null=True, blank=True)
    run_id = models.CharField(max_length=100, blank=True)
    call_id = models.CharField(max_length=200, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    """Of the tool and its arguments, so that a key is not used for something else."""
    may_repeat = models.BooleanField(default=False)
    """Whether a call that was cut off may be made again."""
    holder = models.UUIDField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at"], name="execution_of_owner"),
            models.Index(fields=["plugin", "-created_at"], name="execution_of_plugin"),
            models.Index(fields=["status", "expires_at"], name="execution_by_status"),
            models.Index(fields=["created_at"], name="execution_by_age"),
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "idempotency_key"], name="execution_once")]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.id}"


class ExecutionBatch(models.Model):
    """That events were taken under a key of their sender, and which ids they have: sent again, they are not added again."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="batches")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    first = models.BigIntegerField()
    last = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["execution", "key"], name="execution_batch_once")]

    def __str__(self) -> str:
        return f"{self.execution_id}: {self.first} to {self.last}"
