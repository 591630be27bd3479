"""Connections to MCP servers."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models


class Connection(models.Model):
    """A user's authorization at an MCP server, and how it is obtained.

    Everything `sealed_` is encrypted (see `plugins/sealing.py`); of the OAuth `state` only a digest is kept.
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
