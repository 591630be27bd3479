"""Deliveries as rows: claimed under a lease, told or put off, and tried again until they are told or dead."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from accounts.caller import Caller
from accounts.models import User
from events.exceptions import InvalidRequest
from events.topics import access as topic_access
from events.topics.grammar import parse_topic
from notifications.conf import conf
from notifications.models import LONGEST_TITLE, Channel, Delivery, Notification, Rule
from notifications.plans import PREFERENCE, quiet_until, retry_at
from notifications.preferences import is_member, wishes_of
from notifications.services import notify

SHOWN_IN_DIGEST = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What is told at once: one delivery, or those of one digest, the oldest first; held by this process alone."""

    rows: tuple[Delivery, ...]

    @property
    def first(self) -> Delivery:
        """The one that the whole is named by; it stays the same however often it is tried."""
        return self.rows[0]

    @property
    def user(self) -> User:
        """Who is told."""
        return self.first.user

    @property
    def rule(self) -> Rule:
        """Why."""
        return self.first.rule

    @property
    def title(self) -> str:
        """One line."""
        if len(self.rows) == 1:
            return self.first.title
        return f"{len(self.rows)} times: {self.rule.name}"[:LONGEST_TITLE]

    @property
    def body(self) -> str:
        """Of a digest: its titles, the newest first."""
        if len(self.rows) == 1:
            return self.first.body
        lines = [row.title for row in reversed(self.rows)][:SHOWN_IN_DIGEST]
        more = len(self.rows) - len(lines)
        text = "\n".join(lines + ([f"and {more} more"] if more else []))
        return text[: conf.NOTIFICATIONS_BODY_MAX_CHARS]

    @property
    def action_url(self) -> str:
        """Where it leads: of a digest, where the newest does."""
        return self.rows[-1].action_url


@transaction.atomic
def claim(*, now: datetime) -> list[Claim]:
    """Takes what is due for NOTIFICATIONS_LEASE_SECONDS: nobody else tries it meanwhile.

    What was begun too often without an end is dead: it may be what kills its workers.
    """
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    held = Delivery.objects.filter(free, status=Delivery.Status.HELD).select_for_update(skip_locked=True, of=("self",))
    due = list(held.filter(due_at__lte=now).order_by("due_at", "pk")[: conf.NOTIFICATIONS_DELIVERIES_AT_ONCE])
    digests = {row.digest for row in due if row.digest is not None}
    rows = {row.pk: row for row in due} | {row.pk: row for row in held.filter(digest__in=digests)}
    until = now + timedelta(seconds=conf.NOTIFICATIONS_LEASE_SECONDS)
    Delivery.objects.filter(pk__in=rows).update(lease=F("lease") + 1, attempts=F("attempts") + 1, leased_until=until)
    taken = Delivery.objects.filter(pk__in=rows).select_related("user", "rule__organization", "notification")
    spent = taken.filter(attempts__gt=conf.NOTIFICATIONS_ATTEMPTS_MAX)
    spent.update(status=Delivery.Status.DEAD, reason="Begun too often, and never ended.", ended_at=now, leased_until=None)
    return _grouped(taken.filter(status=Delivery.Status.HELD).order_by("happened_at", "pk"))


def _grouped(rows: Iterable[Delivery]) -> list[Claim]:
    groups: dict[uuid.UUID, list[Delivery]] = defaultdict(list)
    for row in rows:
        groups[row.digest or row.pk].append(row)
    return [Claim(tuple(group)) for group in groups.values()]


def sift(found: Claim, *, there: bool, now: datetime) -> Claim | None:
    """What of a claim is still to be told now, looked at again just before; what is not is ended or put off.

    `there`: whether the user sees it without this channel.
    """
    rule, user, channel = found.rule, found.user, found.first.channel
    # It may have waited in this process until another one took it over. If not, it is ours for the time that sending takes.
    if _fenced(found.rows).update(leased_until=now + timedelta(seconds=conf.NOTIFICATIONS_LEASE_SECONDS)) < len(found.rows):
        return None
    wishes = wishes_of([user.pk], rule_ids=[rule.pk])[user.pk]
    critical = rule.priority == Notification.Priority.CRITICAL
    reason = ""
    if not rule.enabled:
        reason = "The rule was switched off."
    elif not is_member(user_pk=user.pk, rule=rule):
        reason = "The user is no active member any more."
    elif not critical and not wishes.wants(rule_id=rule.pk, channel=channel):
        reason = PREFERENCE
    elif there and not rule.always and channel != Channel.WEBSOCKET:
        reason = "The user was there."
    if reason:
        _end(found.rows, Delivery.Status.SKIPPED, reason=reason, now=now)
        return None
    quiet = quiet_until(rule=rule, channel=channel, wishes=wishes, now=now)
    if quiet is not None:
        _put_off(found.rows, due_at=quiet)
        return None
    gone = {row.pk: why for row in found.rows if (why := _why_not(row, rule))}
    for why in set(gone.values()):
        _end([row for row in found.rows if gone.get(row.pk) == why], Delivery.Status.SKIPPED, reason=why, now=now)
    left = tuple(row for row in found.rows if row.pk not in gone)
    return Claim(left) if left else None


def _why_not(row: Delivery, rule: Rule) -> str:
    if not _may_see(row):
        return "The user may not see the event any more."
    if row.channel == Channel.WEBSOCKET or rule.always:
        return ""
    inbox = Delivery.objects.filter(
        rule_id=row.rule_id, event_id=row.event_id, user_id=row.user_id, channel=Channel.WEBSOCKET, notification__isnull=False
    )
    dealt_with = Q(notification__seen_at__isnull=False) | Q(notification__deleted_at__isnull=False)
    return "The user has seen it." if inbox.filter(dealt_with).exists() else ""


def _may_see(row: Delivery) -> bool:
    try:
        topic = parse_topic(row.topic)
    except InvalidRequest:
        return False
    user = row.user
    return topic_access.may_see(Caller(user.pk, user.public_id, user.username, (), user.is_staff, "rule"), topic)


@transaction.atomic
def tell_inbox(found: Claim, *, now: datetime) -> bool:
    """Puts a claim into the inbox and ends it, both or neither; False when another worker has taken it over."""
    if len(_fenced(found.rows).select_for_update()) < len(found.rows):
        return False
    [made] = notify(
        users=[found.user],
        title=found.title,
        body=found.body,
        action_url=found.action_url,
        priority=found.rule.priority,
        key=f"delivery:{found.first.pk}",
    )
    _fenced(found.rows).update(notification=made)
    _end(found.rows, Delivery.Status.SENT, now=now)
    return True


def sent(found: Claim, *, now: datetime) -> bool:
    """It was told; False when another worker has taken it over, and tells it again."""
    return _end(found.rows, Delivery.Status.SENT, now=now) == len(found.rows)


def skipped(found: Claim, *, reason: str, now: datetime) -> None:
    """It is not told, and never will be."""
    _end(found.rows, Delivery.Status.SKIPPED, reason=reason, now=now)


def failed(found: Claim, *, reason: str, now: datetime, for_good: bool = False, wait: float = 0) -> None:
    """It could not be told: tried again later (not before `wait` seconds), or dead after too many attempts or `for_good`."""
    attempts = max(row.attempts for row in found.rows)
    if for_good or attempts >= conf.NOTIFICATIONS_ATTEMPTS_MAX:
        _end(found.rows, Delivery.Status.DEAD, reason=reason, now=now)
        return
    _fenced(found.rows).update(due_at=retry_at(attempts=attempts, now=now, wait=wait), leased_until=None, reason=reason[:200])


def put_off(found: Claim, *, due_at: datetime) -> None:
    """It is tried later; this was no attempt."""
    _put_off(found.rows, due_at=due_at)


@transaction.atomic
def replay(deliveries: QuerySet[Delivery], *, now: datetime) -> int:
    """Has the dead ones among them tried again from the beginning; how many."""
    return deliveries.filter(status=Delivery.Status.DEAD).update(
        status=Delivery.Status.HELD, attempts=0, due_at=now, leased_until=None, ended_at=None, digest=None
    )


def _put_off(rows: Sequence[Delivery], *, due_at: datetime) -> None:
    _fenced(rows).update(due_at=due_at, leased_until=None, attempts=F("attempts") - 1)


def _end(rows: Collection[Delivery], status: Delivery.Status, *, now: datetime, reason: str = "") -> int:
    return _fenced(rows).update(status=status, reason=reason[:200], ended_at=now, leased_until=None)


def _fenced(rows: Collection[Delivery]) -> QuerySet[Delivery]:
    """The rows that are still ours: a worker that stood still for too long finds that its lease number is an old one."""
    ours = Q(pk__in=[])
    for row in rows:
        ours |= Q(pk=row.pk, lease=row.lease)
    return Delivery.objects.filter(ours, status=Delivery.Status.HELD)
