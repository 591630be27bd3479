"""Deliveries grow old: what is over goes, what is still to be sent stays."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Membership
from events.models import WebhookDelivery, WebhookEndpoint
from events.webhooks.retention import prune_deliveries
from tests.events.topics import asking as topics
from tests.events.webhooks.receiver import register

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint():
    made, _ = register(topics.user("ada", "org_hooks", role=Membership.Role.ADMIN), "https://example.org/")
    return made


def delivery(endpoint, days, status="delivered"):
    at = timezone.now() - timedelta(days=days)
    return WebhookDelivery.objects.create(
        endpoint=endpoint, event_id=f"evt_{days}_{status}", topic="", body="{}", next_attempt=at, created_at=at, status=status
    )


def left():
    return set(WebhookDelivery.objects.values_list("event_id", flat=True))


def test_what_is_over_goes_and_what_is_to_be_sent_stays(endpoint):
    for status in ("delivered", "dead", "pending", "failed"):
        delivery(endpoint, 31, status)
        delivery(endpoint, 29, status)
    young = {f"evt_29_{status}" for status in ("delivered", "dead", "pending", "failed")}
    assert prune_deliveries(dry_run=True) == 2
    assert prune_deliveries() == 2
    assert left() == young | {"evt_31_pending", "evt_31_failed"}
    # Of an endpoint that is off it would come as a flood of old news when it is switched on.
    WebhookEndpoint.objects.update(enabled=False)
    assert prune_deliveries() == 2
    assert left() == young


def test_the_command_prunes_them_too(endpoint, settings):
    settings.WEBHOOK_RETENTION_DAYS = 5
    delivery(endpoint, 6)
    said = StringIO()
    call_command("prune_message_events", "--dry-run", stdout=said)
    assert "Would delete 1 webhook deliveries older than 5 days" in said.getvalue()
    call_command("prune_message_events", stdout=said)
    assert "Deleted 1 webhook deliveries" in said.getvalue()
    assert left() == set()
