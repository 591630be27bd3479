"""Comparing the events of organisations with their rules: each event once, in order, and nothing is passed over.

The cursor of an organisation moves in the transaction that writes the deliveries. A worker that dies in between
leaves both as they were; two that read the same events find that the cursor of one of them is no longer true.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from accounts.models import Organization, User
from events.broker.base import Reading
from events.conf import conf as events_conf
from events.event import Event, EventId
from events.journal import UNREACHABLE
from events.topics.event import TopicEvent
from events.topics.grammar import parse_pattern
from events.topics.places import Place
from notifications import rules
from notifications.builtin import ensure_builtin
from notifications.conditions import ConditionFailed, holds
from notifications.conf import conf
from notifications.metrics import MISSED
from notifications.models import LONGEST_TITLE, Delivery, Notification, Position, Rule
from notifications.plans import PREFERENCE, THROTTLED, Digest, plan
from notifications.preferences import wishes_of
from notifications.recipients import recipients_of
from notifications.services import notify
from notifications.wording import Words, plain_words, words_for

logger = logging.getLogger(__name__)

CLOCK = "%Y-%m-%d %H:%M:%S"

FAILURES_SECONDS = 3600
"""A rule that fails at every event tells so no more often than this."""


def places() -> list[Place]:
    """Every organisation's; one that is new begins with its first event, and has its built-in rules from then on."""
    for organization in Organization.objects.filter(~Q(pk__in=Position.objects.values("pk"))):
        ensure_builtin(organization)
        Position.objects.bulk_create([Position(organization=organization)], ignore_conflicts=True)
    rows = Position.objects.values_list("organization_id", "organization__public_id", "cursor")
    return [Place.of(pk, public_id, cursor) for pk, public_id, cursor in rows]


@transaction.atomic
def evaluate(place: Place, reading: Reading, head: EventId) -> int:
    """Writes the deliveries of the events read after a place, and moves its cursor; how many events.

    0 when another worker is at it, or was before. `head`: that of the stream before it was read, where to go on when nothing
    was found: a broker may give places that no event of this organisation has, or may have forgotten everything.
    """
    row = Position.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=place.organization_pk).first()
    if row is None or Place.of(place.organization_pk, place.organization_id, row.cursor) != place:
        return 0
    if not reading.continuous and not _is_only_old(row, reading):
        report_gap(row, reading)
    enabled = list(Rule.objects.filter(organization_id=place.organization_pk, enabled=True).select_related("organization"))
    for event in reading.events:
        _compare(event, enabled)
    row.cursor = str(reading.events[-1].id if reading.events else head)
    if reading.events:
        row.event_at = _time(reading.events[-1].at)
    row.save(update_fields=["cursor", "event_at"])
    return len(reading.events)


def _is_only_old(row: Position, reading: Reading) -> bool:
    """Whether the stream was forgotten because nothing had happened for EVENTS_REPLAY_MAX_AGE_HOURS, and nothing was missed."""
    if reading.reason == "trimmed" or row.event_at is None:
        return False
    kept = timedelta(hours=events_conf.EVENTS_REPLAY_MAX_AGE_HOURS)
    return (not reading.exists or reading.reason == "unknown_cursor") and timezone.now() - row.event_at >= kept


def report_gap(row: Position, reading: Reading) -> None:
    """Tells whoever has rules that events were gone before they were compared, at most once an hour: nobody heard of them."""
    MISSED.labels(reading.reason).inc()
    organization, now = row.organization, timezone.now()
    logger.error("Events of %s were gone before they were compared with rules: %s.", organization.public_id, reading.reason)
    users = rules.gaps_go_to(organization)
    if not users:
        return
    since = f"between {row.event_at:{CLOCK}} and" if row.event_at else "before"
    until = _time(reading.events[0].at) if reading.events else now
    notify(
        users=users,
        title=f"Rules may have missed events of {organization.name}"[:LONGEST_TITLE],
        body=f"Events {since} {until:{CLOCK}} UTC were no longer kept ({reading.reason}) when they were to be compared with "
        "rules: if there were any, nobody was notified of them. An operator can look whether workers run and keep up; "
        "EVENTS_TOPIC_MAXLEN says how many events are kept.",
        action_url="/notifications/settings",
        priority=Notification.Priority.HIGH,
        key=f"gap:{row.pk}:{now:%Y-%m-%dT%H}",
    )


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _compare(entry: Event, enabled: Sequence[Rule]) -> None:
    event = TopicEvent.read(entry)
    if event is None:
        return
    for rule in enabled:
        if rule.since is not None and happened_at(event) < rule.since:
            continue
        try:
            with transaction.atomic():
                if matches(rule, event):
                    _deliver(rule, event)
        except ConditionFailed as error:
            report(rule, str(error))
        except UNREACHABLE:
            raise
        except Exception:
            # One rule that fails at one event must not hold up all other events of its organisation for ever.
            logger.exception("The rule %s could not be compared with the event %s.", rule.pk, entry.id)
            report(rule, f"The server failed at the event {entry.id}; it was logged.")


def matches(rule: Rule, event: TopicEvent) -> bool:
    """Whether an event is one that the rule is about. Raises `ConditionFailed`."""
    return _pattern(rule.pattern).matches(event.topic) and holds(rule.condition, values_of(event))


_pattern = lru_cache(maxsize=4096)(parse_pattern)


def values_of(event: TopicEvent) -> dict[str, object]:
    """What conditions and templates may speak of."""
    told = event.at.data.get("event", {})
    return {"event": told, "payload": told.get("payload", {})}


def happened_at(event: TopicEvent) -> datetime:
    """When an event was published."""
    return _time(event.at.at)


def event_id_of(event: TopicEvent) -> str:
    """What names an event: its own id, which it keeps when it is published again; else its place in the log."""
    own = event.at.data.get("event", {}).get("id")
    return own if isinstance(own, str) and 0 < len(own) <= 64 else str(event.at.id)


def _deliver(rule: Rule, event: TopicEvent) -> None:
    users = recipients_of(organization=rule.organization, recipients=rule.recipients, event=event)
    most = conf.NOTIFICATIONS_RULE_RECIPIENTS_MAX
    if len(users) > most:
        report(rule, f"An event has {len(users)} recipients; only the first {most} were notified.")
    words, failure = words_for(rule, values_of(event))
    if failure:
        report(rule, failure)
        words = plain_words(rule, str(event.topic))
    _write(rule, event, users[:most], words)


def _write(rule: Rule, event: TopicEvent, users: Sequence[User], words: Words) -> None:
    now, at = timezone.now(), happened_at(event)
    wishes = wishes_of([user.pk for user in users], rule_ids=[rule.pk])
    told, digests = _told(rule, users, at), _digests(rule, users, now)
    rows = []
    for user in users:
        for channel in rule.channels:
            planned = plan(
                rule=rule,
                channel=channel,
                wishes=wishes[user.pk],
                told=told.get(user.pk, 0),
                digest=digests.get((user.pk, channel)),
                now=now,
            )
            rows.append(
                Delivery(
                    rule=rule,
                    event_id=event_id_of(event),
                    topic=str(event.topic),
                    user=user,
                    channel=channel,
                    status=planned.status,
                    reason=planned.reason,
                    priority=rule.priority,
                    title=words.title,
                    body=words.body,
                    action_url=words.action_url,
                    happened_at=at,
                    digest=planned.digest,
                    due_at=planned.due_at,
                    ended_at=now if planned.status == Delivery.Status.SKIPPED else None,
                )
            )
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)


def _told(rule: Rule, users: Sequence[User], at: datetime) -> dict[int, int]:
    """How many events the rule told each user within the window of its throttle, which ends with this event."""
    if rule.throttle_limit is None or rule.throttle_seconds is None:
        return {}
    left_out = Q(status=Delivery.Status.SKIPPED, reason__in=(PREFERENCE, THROTTLED))
    since = at - timedelta(seconds=rule.throttle_seconds)
    recent = Delivery.objects.filter(rule=rule, user__in=users, happened_at__gt=since).exclude(left_out)
    return dict(recent.values("user_id").annotate(events=Count("event_id", distinct=True)).values_list("user_id", "events"))


def _digests(rule: Rule, users: Sequence[User], now: datetime) -> dict[tuple[int, str], Digest]:
    """The digests of the rule that are still being collected."""
    if not rule.digest_seconds:
        return {}
    # Nobody has begun to send them, and nobody will before this is committed or they are due.
    held = Delivery.objects.filter(
        rule=rule, user__in=users, status=Delivery.Status.HELD, attempts=0, due_at__gt=now, digest__isnull=False
    )
    found = held.values_list("user_id", "channel", "digest", "due_at")
    return {(user_pk, channel): Digest(digest, due_at) for user_pk, channel, digest, due_at in found if digest is not None}


def report(rule: Rule, failure: str) -> None:
    """Keeps with a rule why it failed, and tells whoever can mend it, at most once in FAILURES_SECONDS."""
    now = timezone.now()
    logger.warning("The rule %s (%s) failed: %s", rule.pk, rule.name, failure)
    if rule.failed_at is not None and now - rule.failed_at < timedelta(seconds=FAILURES_SECONDS) and rule.failure == failure:
        return
    told_lately = rule.failed_at is not None and now - rule.failed_at < timedelta(seconds=FAILURES_SECONDS)
    rule.failure, rule.failed_at = failure[:1000], rule.failed_at if told_lately else now
    rule.save(update_fields=["failure", "failed_at"])
    users = [] if told_lately else rules.failures_go_to(rule)
    if users:
        notify(
            users=users,
            title=f"Rule failed: {rule.name}"[:LONGEST_TITLE],
            body=f"{rule.failure}\nCorrect the rule: events that its words fail at are told in plain ones.",
            action_url="/notifications/settings",
            priority=Notification.Priority.HIGH,
        )
