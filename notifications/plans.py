"""What becomes of one delivery: told, left out, or told later. No I/O, no clock of its own."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from notifications.conf import conf
from notifications.models import Channel, Delivery, Notification, Rule
from notifications.preferences import Wishes

PREFERENCE = "The user does not want it."
THROTTLED = "The rule told the user enough already."


@dataclass(frozen=True, slots=True)
class Digest:
    """Deliveries that are told together, and when."""

    id: uuid.UUID
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a delivery."""

    status: Delivery.Status
    due_at: datetime
    reason: str = ""
    digest: uuid.UUID | None = None


def plan(*, rule: Rule, channel: str, wishes: Wishes, told: int, digest: Digest | None, now: datetime) -> Plan:
    """The plan for one user and channel at an event.

    `told`: how many events the rule told the user within its throttle's window. `digest`: the one that is still being
    collected for the user and channel. What is critical passes what users set, and not what the rule itself says.
    """
    critical = rule.priority == Notification.Priority.CRITICAL
    if not critical and not wishes.wants(rule_id=rule.pk, channel=channel):
        return Plan(Delivery.Status.SKIPPED, now, PREFERENCE)
    if rule.throttle_limit is not None and told >= rule.throttle_limit:
        return Plan(Delivery.Status.SKIPPED, now, THROTTLED)
    if rule.digest_seconds and digest is not None:
        return Plan(Delivery.Status.HELD, digest.due_at, digest=digest.id)
    due = now + timedelta(seconds=rule.digest_seconds or _patience(rule, channel))
    quiet = quiet_until(rule=rule, channel=channel, wishes=wishes, now=due)
    return Plan(Delivery.Status.HELD, quiet or due, digest=uuid.uuid4() if rule.digest_seconds else None)


def quiet_until(*, rule: Rule, channel: str, wishes: Wishes, now: datetime) -> datetime | None:
    """When the quiet is over that a delivery has to wait for; None: it need not. The inbox makes no noise."""
    if wishes.quiet is None or channel == Channel.WEBSOCKET or rule.priority == Notification.Priority.CRITICAL:
        return None
    return wishes.quiet.over(now)


def _patience(rule: Rule, channel: str) -> float:
    if rule.always or channel == Channel.WEBSOCKET:
        return 0
    return conf.NOTIFICATIONS_PUSH_SECONDS if channel == Channel.PUSH else conf.NOTIFICATIONS_OFFLINE_SECONDS


def retry_at(*, attempts: int, now: datetime, wait: float = 0) -> datetime:
    """When a delivery is tried again that failed so many times; not before `wait` seconds, which the other side asked for."""
    pause = min(conf.NOTIFICATIONS_RETRY_SECONDS * 2 ** min(attempts - 1, 20), 3600)
    return now + timedelta(seconds=max(pause, min(wait, 24 * 3600)))
