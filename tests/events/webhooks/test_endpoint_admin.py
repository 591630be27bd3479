"""Webhooks in the admin: looked at without their secrets, switched, tested, and their deliveries sent again."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from accounts.models import Membership
from events.models import WebhookDelivery, WebhookEndpoint
from tests.events.topics import asking as topics
from tests.events.webhooks.receiver import register

pytestmark = pytest.mark.django_db

ENDPOINTS, DELIVERIES = "/admin/events/webhookendpoint/", "/admin/events/webhookdelivery/"


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser(username="root", password="x"))
    return client


@pytest.fixture
def endpoint():
    ada = topics.user("ada", "org_hooks", role=Membership.Role.ADMIN)
    return register(ada, "https://example.org/hook", description="Shop")[0]


def act(admin, address, action, *rows):
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return admin.post(address, chosen, follow=True).content.decode()


def test_an_endpoint_is_found_and_its_secret_is_not_shown(admin, endpoint):
    page = admin.get(ENDPOINTS, {"q": "org_hooks"}).content.decode()
    assert "Shop" in page
    page = admin.get(f"{ENDPOINTS}{endpoint.pk}/change/").content.decode()
    assert endpoint.url in page
    assert endpoint.sealed_secret not in page
    assert admin.get(f"{ENDPOINTS}add/").status_code == 403


def test_an_endpoint_is_switched_off_and_on_and_tested(admin, endpoint):
    act(admin, ENDPOINTS, "switch_off", endpoint)
    endpoint.refresh_from_db()
    assert (endpoint.enabled, endpoint.off_reason) == (False, "An operator has switched it off.")
    assert "switched off" in act(admin, ENDPOINTS, "send_test", endpoint)
    assert not WebhookDelivery.objects.exists()
    assert "1 webhooks are switched on" in act(admin, ENDPOINTS, "switch_on", endpoint)
    assert "0 webhooks are switched on" in act(admin, ENDPOINTS, "switch_on", endpoint)
    assert "a test event is on its way" in act(admin, ENDPOINTS, "send_test", endpoint)
    assert WebhookDelivery.objects.get().status == "pending"
    assert WebhookEndpoint.objects.get().off_reason == ""


def test_dead_deliveries_are_sent_again_but_not_those_that_are_being_sent(admin, endpoint):
    now = timezone.now()
    rows = [
        WebhookDelivery.objects.create(
            endpoint=endpoint, event_id=f"evt_{number}", topic="", body="{}", next_attempt=now, attempts=10, **fields
        )
        for number, fields in enumerate(
            ({"status": "dead", "reason": "It answered 500."}, {"status": "failed", "leased_until": now + timedelta(minutes=1)})
        )
    ]
    assert "It answered 500." in admin.get(DELIVERIES).content.decode()
    assert "1 deliveries are sent again" in act(admin, DELIVERIES, "redeliver", *rows)
    assert [(row.status, row.attempts) for row in WebhookDelivery.objects.order_by("event_id")] == [
        ("pending", 0),
        ("failed", 10),
    ]
    assert admin.get(f"{DELIVERIES}{rows[0].pk}/change/").status_code == 200
