"""Deliveries to endpoints as rows: claimed under a lease, posted, and tried again until they are taken or dead."""

import random
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.caller import Caller
from events.conf import conf
from events.event import START, Event
from events.exceptions import Conflict, InvalidRequest, NotFound
from events.models import WebhookDelivery, WebhookEndpoint
from events.paging import page
from events.sealing import Unreadable, unseal
from events.topics.event import TOPIC_EVENT, TopicEvent, stored
from events.topics.grammar import make_topic, parse_topic
from events.webhooks import endpoints as webhook_endpoints
from events.webhooks import signatures as webhook_signatures
from events.webhooks.bodies import CONTENT_TYPES, event_body
from events.webhooks.evaluation import may_be_told
from events.webhooks.models import LONGEST_REASON

Status = WebhookDelivery.Status

FACTOR, JITTER = 4, 0.2
"""By how much each pause is longer than the one before; up to which part of a pause chance adds, so that what failed
together does not come back together."""


NOTING_SECONDS = 5
"""How long it may take to begin an attempt, and to write down what came of it, beside the attempt itself."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is posted where: signed a moment before it is sent."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an endpoint answered (`status` None: nothing); `reason` says why it has not taken the event, empty: it has.

    `wait`: for how many seconds it wants to be left alone. `is_final`: another attempt would come to the same.
    """

    status: int | None = None
    answer: str = ""
    reason: str = ""
    wait: float = 0.0
    is_final: bool = False


@transaction.atomic
def claim(*, now: datetime, most: int) -> list[WebhookDelivery]:
    """Takes at most so many of what is due for WEBHOOK_LEASE_SECONDS, the oldest of each endpoint first.

    An endpoint is sent WEBHOOK_SENDING_PER_ENDPOINT at the same time: one that hangs holds up only itself. What was begun
    too often without an end is dead: it may be what kills its workers.
    """
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    due = WebhookDelivery.objects.filter(free, status__in=WebhookDelivery.OPEN, next_attempt__lte=now)
    waiting = WebhookEndpoint.objects.filter(Exists(due.filter(endpoint=OuterRef("pk"))), enabled=True)
    # Locked, so that two workers do not count the same room; one that another worker looks at is left to it. In no
    # fixed order: the first ones must not use up everything.
    endpoints = list(waiting.select_for_update(skip_locked=True, no_key=True).order_by("?")[:most])
    pks: list[uuid.UUID] = []
    for endpoint in endpoints:
        room = min(conf.WEBHOOK_SENDING_PER_ENDPOINT - _under_way(endpoint, now), most - len(pks))
        rows = due.filter(endpoint=endpoint).select_for_update(skip_locked=True).order_by("next_attempt", "created_at")
        pks += rows.values_list("pk", flat=True)[: max(room, 0)]
    # Never shorter than an attempt and noting it takes, or what goes well would be sent twice.
    until = now + timedelta(seconds=max(conf.WEBHOOK_LEASE_SECONDS, conf.WEBHOOK_SEND_SECONDS + NOTING_SECONDS))
    WebhookDelivery.objects.filter(pk__in=pks).update(
        lease=F("lease") + 1, attempts=F("attempts") + 1, leased_until=until, attempted_at=now
    )
    taken = WebhookDelivery.objects.filter(pk__in=pks)
    spent = taken.filter(attempts__gt=conf.WEBHOOK_ATTEMPTS_MAX)
    spent.update(status=Status.DEAD, reason="Begun too often, and never ended.", ended_at=now, leased_until=None)
    alive = taken.filter(status__in=WebhookDelivery.OPEN).order_by("next_attempt", "created_at")
    return list(alive.select_related("endpoint__organization", "endpoint__owner"))


def _under_way(endpoint: WebhookEndpoint, now: datetime) -> int:
    return WebhookDelivery.objects.filter(endpoint=endpoint, status__in=WebhookDelivery.OPEN, leased_until__gt=now).count()


def letter(row: WebhookDelivery, *, now: datetime) -> Letter | Outcome:
    """What is to be posted for a claimed delivery; an outcome when nothing is."""
    if row.topic and not _may_still_be_told(row):
        return Outcome(reason="The owner of the webhook may not see this event any more.", is_final=True)
    try:
        signatures = _signatures(row, now)
    except Unreadable:
        return Outcome(reason="The secret cannot be read: SECRET_KEY was changed. Give the webhook a new one.")
    headers = {
        "Content-Type": CONTENT_TYPES[WebhookEndpoint.Form(row.form)],
        "webhook-id": row.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures,
    }
    return Letter(row.endpoint.url, headers, row.body.encode())


def _may_still_be_told(row: WebhookDelivery) -> bool:
    try:
        return may_be_told(row.endpoint, parse_topic(row.topic))
    except InvalidRequest:
        return False


def _signatures(row: WebhookDelivery, now: datetime) -> str:
    """With the secret, and with the one before while it is being replaced. Raises `Unreadable`."""
    endpoint, body, at = row.endpoint, row.body.encode(), int(now.timestamp())
    found = [unseal(endpoint.sealed_secret)]
    if endpoint.sealed_old_secret and endpoint.old_secret_until is not None and now < endpoint.old_secret_until:
        found.append(unseal(endpoint.sealed_old_secret))
    return " ".join(webhook_signatures.sign(secret, id=row.event_id, at=at, body=body) for secret in found)


@transaction.atomic
def ended(row: WebhookDelivery, outcome: Outcome, *, now: datetime) -> str:
    """Keeps how an attempt ended; the status then. Empty: another worker has taken the delivery over, and says it.

    An endpoint that is gone (410), or has failed for WEBHOOK_OFF_HOURS, is switched off.
    """
    status = _status_after(row, outcome)
    is_over = status != Status.FAILED
    fields = {
        "status": status,
        "status_code": outcome.status,
        "answer": outcome.answer,
        "reason": outcome.reason[:LONGEST_REASON],
        "leased_until": None,
        "ended_at": now if is_over else None,
    }
    if not is_over:
        fields["next_attempt"] = retry_at(attempts=row.attempts, now=now, wait=outcome.wait)
    ours = WebhookDelivery.objects.filter(pk=row.pk, lease=row.lease, status__in=WebhookDelivery.OPEN)
    if not ours.update(**fields):
        return ""
    _note_health(row.endpoint, outcome, now)
    return status


def _status_after(row: WebhookDelivery, outcome: Outcome) -> Status:
    if not outcome.reason:
        return Status.DELIVERED
    is_last = outcome.is_final or outcome.status == 410 or row.attempts >= conf.WEBHOOK_ATTEMPTS_MAX
    return Status.DEAD if is_last else Status.FAILED


def _note_health(endpoint: WebhookEndpoint, outcome: Outcome, now: datetime) -> None:
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    if not outcome.reason:
        rows.filter(failing_since__isnull=False).update(failing_since=None)
        return
    if outcome.is_final:
        # Nothing that the endpoint has done.
        return
    rows.filter(failing_since=None).update(failing_since=now)
    if outcome.status == 410:
        webhook_endpoints.switch_off(endpoint, reason="It answered 410: it wants no more events.")
    elif rows.filter(failing_since__lte=now - timedelta(hours=conf.WEBHOOK_OFF_HOURS)).exists():
        reason = f"Every attempt has failed for {conf.WEBHOOK_OFF_HOURS:g} hours, the last one: {outcome.reason}"
        webhook_endpoints.switch_off(endpoint, reason=reason)


def retry_at(*, attempts: int, now: datetime, wait: float = 0) -> datetime:
    """When a delivery is tried again that was tried so many times; not before `wait` seconds, which the endpoint asked for."""
    pause = min(conf.WEBHOOK_RETRY_SECONDS * FACTOR ** min(attempts - 1, 20), conf.WEBHOOK_RETRY_MAX_SECONDS)
    pause = max(pause, min(wait, conf.WEBHOOK_RETRY_MAX_SECONDS))
    return now + timedelta(seconds=pause * (1 + random.random() * JITTER))  # noqa: S311 - spreads load, guards nothing


# What people ask for.


def list_deliveries(
    *, caller: Caller, endpoint_id: uuid.UUID, status: str, cursor: str
) -> tuple[list[WebhookDelivery], str | None]:
    """One page of an endpoint's deliveries, the newest first; `status` empty: of all. Raises as `webhook_endpoints.get`."""
    query = WebhookDelivery.objects.filter(endpoint=webhook_endpoints.get(caller=caller, endpoint_id=endpoint_id))
    if status:
        if status not in Status.values:
            raise InvalidRequest(f"status must be one of {', '.join(Status.values)}, not {status[:50]!r}.")
        query = query.filter(status=status)
    return page(query, by="created_at", cursor=cursor)


def get(*, caller: Caller, endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> WebhookDelivery:
    """One delivery. Raises `NotFound`, `Forbidden`."""
    endpoint = webhook_endpoints.get(caller=caller, endpoint_id=endpoint_id)
    found = WebhookDelivery.objects.filter(endpoint=endpoint, pk=delivery_id).first()
    if found is None:
        raise NotFound("There is no delivery with this id.")
    return found


def redeliver(rows: QuerySet[WebhookDelivery], *, now: datetime) -> int:
    """Has these sent again from the beginning, under the same `webhook-id`, except those that are being sent; how many."""
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    return rows.filter(free).update(status=Status.PENDING, attempts=0, next_attempt=now, leased_until=None, ended_at=None)


def redeliver_one(*, caller: Caller, endpoint_id: uuid.UUID, delivery_id: uuid.UUID) -> WebhookDelivery:
    """`redeliver` of one, whatever became of it. Raises `NotFound`, `Forbidden`, `Conflict` while the endpoint is off."""
    row = get(caller=caller, endpoint_id=endpoint_id, delivery_id=delivery_id)
    _refuse_off(webhook_endpoints.get(caller=caller, endpoint_id=endpoint_id))
    redeliver(WebhookDelivery.objects.filter(pk=row.pk), now=timezone.now())
    row.refresh_from_db()
    return row


def redeliver_dead(*, caller: Caller, endpoint_id: uuid.UUID) -> int:
    """`redeliver` of all that are dead; how many. Raises as `redeliver_one`."""
    endpoint = webhook_endpoints.get(caller=caller, endpoint_id=endpoint_id)
    _refuse_off(endpoint)
    return redeliver(WebhookDelivery.objects.filter(endpoint=endpoint, status=Status.DEAD), now=timezone.now())


def test(*, caller: Caller, endpoint_id: uuid.UUID) -> WebhookDelivery:
    """Has an endpoint told of an event that nothing happened for, whatever its patterns. Raises as `redeliver_one`."""
    endpoint = webhook_endpoints.get(caller=caller, endpoint_id=endpoint_id)
    return send_test(endpoint)


def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """`test` for whoever may do everything. Raises `Conflict` while the endpoint is off."""
    _refuse_off(endpoint)
    topic = make_topic(
        organization=endpoint.organization.public_id,
        source="webhooks",
        resource="webhook",
        event="test",
        resource_id=str(endpoint.pk),
    )
    id_, at = f"evt_{secrets.token_hex(12)}", time.time()
    data = stored(topic, id=id_, at=at, payload={"message": "This is a test of your webhook."})
    event = TopicEvent(Event(START, TOPIC_EVENT.name, data, int(at * 1000)), topic)
    body = event_body(event, form=endpoint.form, cursor="")
    now = timezone.now()
    return WebhookDelivery.objects.create(
        endpoint=endpoint, event_id=id_, topic=str(topic), form=endpoint.form, body=body, next_attempt=now, created_at=now
    )


def _refuse_off(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise Conflict("This webhook is switched off. Switch it on first: enabled true.")
