"""What tests of rules share: an organisation, rules in it, events on its topics, and a worker that does one thing at a time."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from asgiref.sync import async_to_sync
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import Membership, Organization
from events.broker.connect import connect
from events.topics.publishing import publish_topic
from notifications import rules
from notifications.models import Delivery
from notifications.worker import NotificationWorker

ORG = "org_acme"
PATTERN = f"events.{ORG}.shop.order.placed.*"
FIELDS = {
    "name": "Orders",
    "pattern": PATTERN,
    "title": "Order {{ payload.number }}",
    "channels": ["websocket"],
    "recipients": ["members"],
}


def organization(people, *, admin="ops"):
    """org_acme, with everybody in it."""
    made = Organization.objects.create(public_id=ORG, name="Acme")
    for name, user in people.items():
        role = Membership.Role.ADMIN if name == admin else Membership.Role.MEMBER
        Membership.objects.create(organization=made, user=user, role=role)
    return made


def caller(user):
    return Caller(user.pk, user.public_id, user.username, (), user.is_staff, "jwt")


def rule(by, **fields):
    """A rule as its maker would make it, true of all events."""
    made = rules.create(caller=caller(by), organization_id=ORG, fields=FIELDS | fields)
    made.since = None
    made.save()
    return made


def happen(number=1, *, event="placed", source="shop", resource="order", key="", **payload):
    publish_topic(
        organization=ORG,
        source=source,
        resource=resource,
        event=event,
        resource_id=f"o{number}",
        payload={"number": number, **payload},
        idempotency_key=key,
    )


@asynccontextmanager
async def worker():
    made = NotificationWorker(connect())
    try:
        yield made
    finally:
        await made.close()


def work(*, deliver=True):
    """All events are compared, and what is due is tried once."""

    async def once():
        async with worker() as each:
            while await each.evaluate():
                pass
            if deliver:
                await each.deliver()

    async_to_sync(once)()


def later(**by):
    """As if time had passed for all that is held."""
    for row in Delivery.objects.filter(status="held"):
        row.due_at -= timedelta(**by)
        row.happened_at -= timedelta(**by)
        if row.leased_until:
            row.leased_until -= timedelta(**by)
        row.save()


def outcomes(**which):
    """(user, channel, status, title) of all deliveries."""
    rows = Delivery.objects.filter(**which).select_related("user").order_by("happened_at", "user__username", "channel", "title")
    return [(row.user.username, row.channel, row.status, row.title) for row in rows]


now = timezone.now
run = asyncio.run
