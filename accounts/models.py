"""People, organisations, and what lets them in."""

import secrets
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models


def new_user_id() -> str:
    """An unguessable public id for a user."""
    return f"user_{secrets.token_hex(8)}"


def new_organization_id() -> str:
    """An unguessable public id for an organisation."""
    return f"org_{secrets.token_hex(8)}"


class User(AbstractUser):
    """A person or a service account; `public_id` is the `sub` of its tokens."""

    public_id = models.CharField(max_length=128, unique=True, default=new_user_id)


class Organization(models.Model):
    """A group of users; `public_id` is what topics and tokens call it."""

    public_id = models.CharField(max_length=128, unique=True, default=new_organization_id)
    name = models.CharField(max_length=200)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    def __str__(self) -> str:
        return self.public_id


class Membership(models.Model):
    """That a user belongs to an organisation, and as what."""

    class Role(models.TextChoices):
        """What a member may do."""

        MEMBER = "member"
        ADMIN = "admin"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class ApiKey(models.Model):
    """A long-lived credential of one user: only its digest is kept, the key is shown once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"


class Ticket(models.Model):
    """A one-use, short-lived credential for one path, for clients that cannot send headers."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64, unique=True)
    path = models.CharField(max_length=2000)
    expires_at = models.DateTimeField(db_index=True)
    caller_expires_at = models.DateTimeField(null=True)
    """End of the credential that asked for the ticket: a stream opened with it must not outlive that."""

    def __str__(self) -> str:
        return f"ticket for {self.path}"


class LoginWindow(models.Model):
    """How many passwords were tried for one user name from one address, in the minute since `started_at`."""

    digest = models.CharField(max_length=64, primary_key=True)
    started_at = models.DateTimeField(db_index=True)
    attempts = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.attempts} attempts since {self.started_at}"
