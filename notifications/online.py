"""Who is there: has a connection, and does something on a page now and then."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.caller import Caller
from events.broker.base import BaseBroker
from notifications.conf import conf
from notifications.models import Activity, Channel

ACTIVITY_SECONDS = 10
"""A user who was seen to do something is not written down again for so long."""


@dataclass(frozen=True, slots=True)
class Online:
    """Public ids of users with a live connection, and when users (by key) last did something on a page."""

    connected: frozenset[str]
    active: dict[int, datetime]

    def is_there(self, *, user_pk: int, user_id: str, channel: str, now: datetime) -> bool:
        """Whether somebody sees without this channel what he is told.

        An open tab that nobody looks at must not swallow a push: only one in which something is done does. A mail is
        spared whoever is connected, unless it is known that he has been away for long: programs do nothing on pages.
        """
        if user_id not in self.connected:
            return False
        active = self.active.get(user_pk)
        if channel == Channel.PUSH:
            return active is not None and now - active < timedelta(seconds=conf.NOTIFICATIONS_IDLE_SECONDS)
        return active is None or now - active < timedelta(seconds=conf.NOTIFICATIONS_AWAY_SECONDS)


async def connected(broker: BaseBroker) -> frozenset[str]:
    """Public ids of all users with a socket or an event stream, in any process. Raises `BrokerUnavailable`."""
    boards = await broker.boards(["connections"])
    return frozenset(json.loads(note)["user_id"] for [connections] in boards.values() for note in connections.values())


def last_active(user_pks: Collection[int]) -> dict[int, datetime]:
    """When each of these users last did something; those of whom nothing is known are not in it."""
    return dict(Activity.objects.filter(user_id__in=user_pks).values_list("user_id", "active_at"))


def note_activity(*, caller: Caller) -> None:
    """The caller is doing something on a page just now."""
    now = timezone.now()
    if not Activity.objects.filter(user_id=caller.pk, active_at__gt=now - timedelta(seconds=ACTIVITY_SECONDS)).exists():
        Activity.objects.update_or_create(user_id=caller.pk, defaults={"active_at": now})
