"""A user's inbox: what is in it, and what he does with it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from accounts.caller import Caller
from accounts.models import User
from events.exceptions import InvalidRequest, NotFound
from events.outbox import publish_with_commit
from events.paging import page
from events.streams import Stream
from notifications.conf import conf
from notifications.models import Notification
from notifications.notification_events import UPDATED


class State(StrEnum):
    """Where a notification is: every one is in exactly one of these."""

    UNSEEN = "unseen"
    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"


class Action(StrEnum):
    """What its user can do with a notification."""

    SEEN = "seen"
    READ = "read"
    UNREAD = "unread"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    DELETE = "delete"


_PRESENT = Q(archived_at=None)
_IN_STATE: dict[str, Q] = {
    State.UNSEEN: _PRESENT & Q(read_at=None, seen_at=None),
    State.SEEN: _PRESENT & Q(read_at=None, seen_at__isnull=False),
    State.READ: _PRESENT & Q(read_at__isnull=False),
    State.ARCHIVED: Q(archived_at__isnull=False),
}
FILTERS: dict[str, Q] = {"": _PRESENT, "unread": _PRESENT & Q(read_at=None), **_IN_STATE}
"""What `state` may ask for; nothing: all that is not archived."""

_SEEN = Coalesce("seen_at", Now())
_CHANGES: dict[Action, tuple[Q, dict[str, Any]]] = {
    # Which ones the action changes, and how. Whoever reads or archives one has seen it.
    Action.SEEN: (Q(seen_at=None), {"seen_at": Now()}),
    Action.READ: (Q(read_at=None), {"read_at": Now(), "seen_at": _SEEN}),
    Action.UNREAD: (Q(read_at__isnull=False), {"read_at": None}),
    Action.ARCHIVE: (Q(archived_at=None), {"archived_at": Now(), "seen_at": _SEEN}),
    Action.UNARCHIVE: (Q(archived_at__isnull=False), {"archived_at": None}),
    Action.DELETE: (Q(), {"deleted_at": Now(), "title": "", "body": "", "action_url": ""}),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which notifications an action is for: those with these ids; None: all in a state, made no later than a time."""

    ids: Sequence[uuid.UUID] | None = None
    state: str = ""
    until: datetime | None = None


def state_of(row: Notification) -> State:
    """The state of a notification."""
    if row.archived_at is not None:
        return State.ARCHIVED
    if row.read_at is not None:
        return State.READ
    return State.UNSEEN if row.seen_at is None else State.SEEN


def list_notifications(*, caller: Caller, state: str, cursor: str) -> tuple[list[Notification], str | None]:
    """One page of the caller's, newest first, and the cursor of the next. Raises `InvalidRequest`."""
    return page(_of(caller).filter(_filter(state)), by="created_at", cursor=cursor)


def counts(*, caller: Caller) -> dict[str, int]:
    """How many notifications of the caller are in each state, and how many are `unread`: unseen or seen."""
    found: dict[str, int] = _of(caller).aggregate(**{str(state): Count("pk", filter=which) for state, which in _IN_STATE.items()})
    return found | {"unread": found[State.UNSEEN] + found[State.SEEN]}


def get(*, caller: Caller, notification_id: uuid.UUID) -> Notification:
    """One of the caller's. Raises `NotFound`."""
    found = _of(caller).filter(pk=notification_id).first()
    if found is None:
        raise NotFound("You have no notification with this id.")
    return found


@transaction.atomic
def act(*, caller: Caller, action: Action, chosen: Chosen) -> dict[str, int]:
    """Does something with notifications of the caller; the counts afterwards. Doing it again changes nothing.

    What changed is told on the caller's feed, for his other tabs. Raises `NotFound` when one of the ids is not his (then
    nothing changes), `InvalidRequest`.
    """
    # One at a time for each user: the counts told are those of the moment, and no two wait for one another's rows.
    User.objects.select_for_update(no_key=True).filter(pk=caller.pk).first()
    which, change = _CHANGES[action]
    changed = list(_chosen(caller, chosen).filter(which).values_list("pk", flat=True))
    if changed:
        Notification.objects.filter(pk__in=changed).update(**change)
    now = counts(caller=caller)
    if changed:
        _tell(caller, action, changed, now)
    return now


def _of(caller: Caller) -> QuerySet[Notification]:
    return Notification.objects.filter(user_id=caller.pk, deleted_at=None)


def _filter(state: str) -> Q:
    if state not in FILTERS:
        raise InvalidRequest(f"state must be one of {', '.join(filter(None, FILTERS))}, or left out, not {state!r}.")
    return FILTERS[state]


def _chosen(caller: Caller, chosen: Chosen) -> QuerySet[Notification]:
    if chosen.ids is None:
        # Without a state really all: "delete all" and "unarchive all" mean the archived ones, too.
        found = _of(caller).filter(_filter(chosen.state)) if chosen.state else _of(caller)
        return found.filter(created_at__lte=chosen.until) if chosen.until else found
    ids = set(chosen.ids)
    # What was deleted is still known as the caller's own: deleting it again is no error.
    if Notification.objects.filter(user_id=caller.pk, pk__in=ids).count() < len(ids):
        raise NotFound("You have no notification with one of these ids.")
    return _of(caller).filter(pk__in=ids)


def _tell(caller: Caller, action: Action, changed: list[uuid.UUID], now: dict[str, int]) -> None:
    named = [str(pk) for pk in changed] if len(changed) <= conf.NOTIFICATIONS_ACTION_MAX else None
    payload = {"action": str(action), "ids": named, "counts": now}
    publish_with_commit(stream=Stream("user", caller.user_id), type=UPDATED.name, data={"scope": {}, "payload": payload})
