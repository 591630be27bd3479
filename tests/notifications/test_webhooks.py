"""Whoever can mend a webhook is told when it was switched off."""

import pytest

from accounts.models import Membership
from events.webhooks import endpoints as webhook_endpoints
from notifications.models import Notification
from tests.events.topics import asking as topics
from tests.notifications.rules import ORG, organization


@pytest.fixture
def endpoint(people, feed):
    organization(people)
    Membership.objects.filter(user=people["alice"]).update(role=Membership.Role.ADMIN)
    made, _ = webhook_endpoints.create(
        caller=topics.caller_for(people["alice"]),
        organization_id=ORG,
        fields={"url": "https://example.org/", "patterns": [f"events.{ORG}.*.*.*.*"], "description": "Shop"},
    )
    return made


def told():
    return sorted(Notification.objects.values_list("user__username", flat=True))


def test_its_owner_is_told_once(endpoint, feed):
    for _ in range(2):
        webhook_endpoints.switch_off(endpoint, reason="It answered 410: it wants no more events.")
    assert told() == ["alice"]
    row = Notification.objects.get()
    assert row.title == "Webhook switched off: Shop"
    assert "410" in row.body
    [(type_, _)] = feed("alice")
    assert type_ == "notification.created"


def test_where_the_owner_has_left_the_admins_are_told(endpoint, people):
    Membership.objects.filter(user=people["alice"]).delete()
    webhook_endpoints.switch_off(endpoint, reason="x")
    assert told() == ["ops"]
