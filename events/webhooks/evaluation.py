"""Comparing the events of organisations with the patterns of their endpoints: each event once, and none is passed over.

The cursor of an organisation moves in the transaction that writes the deliveries. A worker that dies in between leaves both as
they were; of two that read the same events one finds that its cursor is no longer true; and an event is one delivery only.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.caller import Caller
from events.broker.base import Reading
from events.event import START, Event
from events.journal import UNREACHABLE
from events.models import WebhookDelivery, WebhookEndpoint, WebhookPosition
from events.topics import access as topic_access
from events.topics.event import TopicEvent
from events.topics.grammar import Topic, Trie, parse_pattern
from events.topics.places import Place
from events.webhooks.bodies import event_body, truncated_body, webhook_id

logger = logging.getLogger(__name__)

NOBODY = Caller(0, "", "", (), False, "webhook")
"""Sees what is for all members, and nothing that is for some."""

_pattern = lru_cache(maxsize=4096)(parse_pattern)


def places() -> list[Place]:
    """That of every organisation with endpoints, also where all are off: switched on again they begin where it stands."""
    rows = WebhookPosition.objects.filter(organization__webhook_endpoints__isnull=False).distinct()
    found = rows.values_list("organization_id", "organization__public_id", "cursor")
    return [Place.of(pk, public_id, cursor) for pk, public_id, cursor in found]


@transaction.atomic
def evaluate(place: Place, reading: Reading) -> int:
    """Writes the deliveries of the events read after a place, and moves its cursor; how many events.

    0 when another worker is at it, or was before.
    """
    row = WebhookPosition.objects.select_for_update(skip_locked=True).filter(pk=place.organization_pk).first()
    if row is None or not reading.events or Place.of(place.organization_pk, place.organization_id, row.cursor) != place:
        return 0
    query = WebhookEndpoint.objects.filter(organization_id=place.organization_pk, enabled=True)
    endpoints = {each.pk: each for each in query.select_related("organization", "owner")}
    asked: Trie[UUID] = Trie()
    for endpoint in endpoints.values():
        for pattern in endpoint.patterns:
            asked.add(_pattern(pattern), endpoint.pk)
    rows = [] if reading.continuous or place.cursor == START else _gaps(list(endpoints.values()), place, reading)
    for entry in reading.events:
        rows += _compared(entry, asked, endpoints)
    now = timezone.now()
    for number, delivery in enumerate(rows):
        # Those of one transaction would all be of one moment: they are sent, and listed, in the order of their events.
        delivery.created_at = delivery.next_attempt = now + timedelta(microseconds=number)
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    row.cursor = str(reading.events[-1].id)
    row.save(update_fields=["cursor"])
    return len(reading.events)


def _compared(entry: Event, asked: Trie[UUID], endpoints: dict[UUID, WebhookEndpoint]) -> list[WebhookDelivery]:
    event = TopicEvent.read(entry)
    if event is None:
        return []
    try:
        with transaction.atomic():
            wanted = [endpoints[pk] for pk in asked.match(event.topic)]
            return [
                _delivery(each, event) for each in wanted if _happened_at(entry) >= each.since and may_be_told(each, event.topic)
            ]
    except UNREACHABLE:
        raise
    except Exception:
        # One event that nothing can be made of must not hold up all others of its organisation for ever.
        logger.exception("The event %s could not be compared with webhooks.", entry.id)
        return []


def may_be_told(endpoint: WebhookEndpoint, topic: Topic) -> bool:
    """Whether an endpoint may be told events of a topic: what all members may see, and what its owner may, while he is one."""
    return topic_access.may_see(NOBODY, topic) or topic_access.may_see(_sight_of(endpoint), topic)


def _sight_of(endpoint: WebhookEndpoint) -> Caller:
    owner, organization = endpoint.owner, endpoint.organization.public_id
    if owner is None or not owner.is_active:
        return NOBODY
    if not owner.is_staff and not topic_access.is_member(user_pk=owner.pk, organization_id=organization):
        return NOBODY
    return Caller(owner.pk, owner.public_id, owner.username, (organization,), owner.is_staff, "webhook")


def _happened_at(entry: Event) -> datetime:
    return datetime.fromtimestamp(entry.at / 1000, UTC)


def _delivery(endpoint: WebhookEndpoint, event: TopicEvent) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint=endpoint,
        event_id=webhook_id(event),
        topic=str(event.topic),
        form=endpoint.form,
        body=event_body(event, form=endpoint.form, cursor=str(event.at.id)),
    )


def _gaps(endpoints: Sequence[WebhookEndpoint], place: Place, reading: Reading) -> list[WebhookDelivery]:
    """Word of what is missing: an endpoint that cannot be told everything is told that. Made afterwards it misses nothing."""
    logger.warning("Events of %s may have passed without being told to webhooks: %s.", place.organization_id, reading.reason)
    oldest, id_ = reading.events[0], f"truncated_{place.cursor}"
    return [
        WebhookDelivery(
            endpoint=each,
            event_id=id_,
            form=each.form,
            body=truncated_body(
                id=id_,
                organization=place.organization_id,
                reason=reading.reason,
                oldest=str(oldest.id),
                form=each.form,
                cursor=str(place.cursor),
            ),
        )
        for each in endpoints
        if each.since <= _happened_at(oldest)
    ]
