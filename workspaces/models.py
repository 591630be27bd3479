"""Workspaces and who belongs to them."""

import secrets
from typing import ClassVar

from django.conf import settings
from django.db import models


def new_workspace_id() -> str:
    """An unguessable public id for a workspace."""
    return f"ws_{secrets.token_hex(8)}"


class Workspace(models.Model):
    """A place where users of one organisation work together."""

    public_id = models.CharField(max_length=128, unique=True, default=new_workspace_id)
    organization = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="workspaces")
    name = models.CharField(max_length=200)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="WorkspaceMember", related_name="workspaces")

    def __str__(self) -> str:
        return self.public_id


class WorkspaceMember(models.Model):
    """That a user belongs to a workspace, and as what."""

    class Role(models.TextChoices):
        """What a member may do."""

        MEMBER = "member"
        ADMIN = "admin"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="workspace_memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "user"], name="workspace_member_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace}"
