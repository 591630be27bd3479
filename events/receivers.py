"""What the engine does when something changes elsewhere. Imported when all apps are ready."""

from typing import Any

from django.dispatch import receiver

from accounts.changes import access_changed
from events import registry


@receiver(access_changed)
def recheck(user_ids: list[str], **_: Any) -> None:
    """Has every process look again at what these users have open."""
    registry.recheck_users(user_ids)
