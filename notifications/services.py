"""Notifying users. Everything that notifies - the API now, rules later - goes through `notify`."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.db import transaction

from accounts.models import User
from events.event import storable
from events.exceptions import InvalidRequest, NotFound
from events.outbox import publish_all_with_commit
from events.publishing import Publication
from events.streams import Stream
from notifications.conf import conf
from notifications.models import LONGEST_KEY, LONGEST_TITLE, LONGEST_URL, Notification
from notifications.notification_events import CREATED

_PATH = re.compile(r"/(?![/\\])[^\s\\]*")
_WRONG_URL = "action_url must be a path of this server such as /sources?x=1, or an address that begins with https:// or http://."


def active_users(public_ids: Sequence[str]) -> list[User]:
    """The users with these public ids, each once. Raises `NotFound` when one of them is unknown or deactivated."""
    wanted = list(dict.fromkeys(storable(each) for each in public_ids))
    found = {user.public_id: user for user in User.objects.filter(public_id__in=wanted, is_active=True)}
    for public_id in wanted:
        if public_id not in found:
            raise NotFound(f"There is no user with the id {public_id!r}.")
    return [found[public_id] for public_id in wanted]


@transaction.atomic
def notify(
    *,
    users: Sequence[User],
    title: str,
    body: str = "",
    action_url: str = "",
    priority: str = Notification.Priority.NORMAL,
    key: str = "",
) -> list[Notification]:
    """Tells each user once: a row in his inbox and `notification.created` on his feed, both or neither.

    `action_url`: where it leads, a path of this server or an http(s) address. A `key` says what it is about: who was told
    of the same key before, whatever he did with it, is not told again. The notifications, new or old, in the order of the
    users. Raises `InvalidRequest`, `TooLarge`.
    """
    title, body, key, action_url = storable(title.strip()), storable(body.strip()), storable(key), action_url.strip()
    _check(title=title, body=body, action_url=action_url, priority=priority, key=key)
    rows = [
        Notification(user=user, title=title, body=body, action_url=action_url, priority=priority, key=key or None)
        # In one order: two that notify the same users of the same key wait for one another, and never in a circle.
        for user in sorted(set(users), key=lambda user: user.pk)
    ]
    Notification.objects.bulk_create(rows, ignore_conflicts=True)
    made = set(Notification.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    publish_all_with_commit([_created(row) for row in rows if row.pk in made])
    return _in_order(users, rows, key)


def _created(row: Notification) -> Publication:
    payload = {
        "notification_id": str(row.pk),
        "title": row.title,
        "body": row.body,
        "action_url": row.action_url,
        "priority": str(row.priority),
    }
    data = {"scope": {"kind": "notification", "id": str(row.pk)}, "payload": payload}
    return Publication(Stream("user", row.user.public_id), CREATED.name, data)


def _in_order(users: Sequence[User], rows: Sequence[Notification], key: str) -> list[Notification]:
    pks = [row.pk for row in rows]
    query = Notification.objects.filter(user__in=users, key=key) if key else Notification.objects.filter(pk__in=pks)
    found = {row.user_id: row for row in query}
    return [found[user.pk] for user in users]


def _check(*, title: str, body: str, action_url: str, priority: str, key: str) -> None:
    if not title:
        raise InvalidRequest("title must not be empty: it is what people see first.")
    for name, text, most in (
        ("title", title, LONGEST_TITLE),
        ("body", body, conf.NOTIFICATIONS_BODY_MAX_CHARS),
        ("key", key, LONGEST_KEY),
    ):
        if len(text) > most:
            raise InvalidRequest(f"{name} has {len(text)} characters; at most {most} are accepted.")
    if priority not in Notification.Priority.values:
        raise InvalidRequest(f"priority must be one of {', '.join(Notification.Priority.values)}, not {priority!r}.")
    if action_url and not leads_somewhere(action_url):
        raise InvalidRequest(_WRONG_URL)


def leads_somewhere(url: str) -> bool:
    """Whether an address may be offered to click on: a path of this server, or http(s)."""
    # People click on it: nothing that runs (javascript:, data:), nothing that only looks like a path of ours (//elsewhere).
    if len(url) > LONGEST_URL or not url.isprintable():
        return False
    if url.startswith("/"):
        return _PATH.fullmatch(url) is not None
    if re.search(r"[\s\\]", url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
