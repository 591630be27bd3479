"""What of Django's own models decides about access: users, sessions and memberships, however they are changed."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from accounts import changes, sessions
from accounts.models import Membership, User

LOGIN_ONLY = frozenset({"last_login"})


@receiver(post_save, sender=User)
def user_saved(instance: User, created: bool, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    """Deactivated, another password, no longer staff: whatever it was. Every log-in saves, too, and takes nothing away."""
    if not created and update_fields != LOGIN_ONLY:
        changes.announce([instance.public_id])


@receiver(post_delete, sender=User)
def user_deleted(instance: User, **_: Any) -> None:
    """All that the user had open ends."""
    changes.announce([instance.public_id])


@receiver(post_delete, sender=Membership)
def membership_deleted(instance: Membership, **_: Any) -> None:
    """What belongs to the organisation is no longer for the user."""
    changes.announce([instance.user.public_id])


@receiver(post_delete, sender="sessions.Session")
def session_deleted(instance: Any, **_: Any) -> None:
    """A log-out, here or in the admin. Sessions that had run out are cleared away by the thousand, and let nobody in."""
    if instance.expire_date > timezone.now():
        changes.announce(sessions.users_of(instance))
