"""Pushes, received and decrypted as browsers do."""

from datetime import timedelta

import pytest

from notifications import online, push
from notifications.models import Activity, Delivery, PushKey, PushSubscription
from tests.notifications.mailbox import Browser, PushService, signed_by
from tests.notifications.rules import caller, happen, later, now, organization, outcomes, rule, work


@pytest.fixture(autouse=True)
def acme(people, feed, settings):
    settings.NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES = True
    settings.NOTIFICATIONS_PUSH_CONTACT = "mailto:ops@example.org"
    return organization(people)


@pytest.fixture
def service():
    made = PushService()
    yield made
    made.close()


@pytest.fixture
def browser(service, people):
    return subscribed(service, "one", people["alice"])


def subscribed(service, name, user):
    made = Browser(service, name)
    push.subscribe(caller=caller(user), endpoint=made.endpoint, **made.subscription["keys"])
    return made


def push_rule(people, **fields):
    return rule(people["ops"], recipients=["user:user_alice"], channels=["push"], **{"always": True} | fields)


def states():
    return [status for _, _, status, _ in outcomes()]


def test_a_browser_reads_what_was_pushed_and_knows_who_signed_it(people, service, browser):
    push_rule(people, body="For Ännchen", action_url="/orders/1", priority="high")
    happen(7)
    work()
    [told] = browser.read
    tag = str(Delivery.objects.get().pk)
    assert told == {"title": "Order 7", "body": "For Ännchen", "action_url": "/orders/1", "priority": "high", "tag": tag}
    [(_, headers, body)] = service.requests
    claims = signed_by(headers, PushKey.objects.get().public_key)
    assert (claims["aud"], claims["sub"]) == (service.origin, "mailto:ops@example.org")
    assert (headers["Content-Encoding"], headers["TTL"], headers["Urgency"]) == ("aes128gcm", "86400", "high")
    assert b"Order" not in body
    assert states() == ["sent"]


def test_the_key_is_made_once(people):
    assert push.key().public_key == push.key().public_key
    assert PushKey.objects.count() == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_removed(people, service, browser, status):
    other = subscribed(service, "two", people["alice"])
    service.answers.append((status, {}))
    push_rule(people)
    happen()
    work()
    assert PushSubscription.objects.count() == 1
    assert len(other.read) + len(browser.read) == 2
    assert states() == ["sent"]
    PushSubscription.objects.all().delete()
    happen(2)
    work()
    assert states() == ["sent", "skipped"]


def test_retry_after_is_kept_and_who_has_it_gets_it_once(people, service, browser):
    other = subscribed(service, "two", people["alice"])
    service.answers.append((429, {"Retry-After": "120"}))
    push_rule(people)
    happen()
    work()
    assert states() == ["held"]
    assert Delivery.objects.get().due_at > now() + timedelta(seconds=110)
    later(seconds=100)
    work()
    assert len(service.requests) == 2
    later(seconds=30)
    work()
    assert len(service.requests) == 3
    assert states() == ["sent"]
    # Both have it; the one that took it at first got it once.
    assert sorted([len(browser.read), len(other.read)]) == [1, 2]


def test_a_service_that_is_away_is_asked_again(people, service, browser):
    service.close()
    push_rule(people)
    happen()
    work()
    row = Delivery.objects.get()
    assert (row.status, row.attempts) == ("held", 1)
    assert "cannot be reached" in row.reason


def test_a_service_that_refuses_is_not_asked_again(people, service, browser):
    service.answers.append((400, {}))
    push_rule(people)
    happen()
    work()
    assert states() == ["skipped"]
    assert PushSubscription.objects.count() == 1


@pytest.mark.parametrize(
    ("connected", "idle", "expected"),
    [(False, None, "sent"), (True, None, "sent"), (True, 10, "skipped"), (True, 3600, "sent"), (False, 10, "sent")],
)
def test_an_open_but_idle_tab_does_not_swallow_a_push(people, browser, monkeypatch, connected, idle, expected):
    async def those(broker):
        return frozenset({"user_alice"} if connected else ())

    monkeypatch.setattr(online, "connected", those)
    if idle is not None:
        Activity.objects.create(user=people["alice"], active_at=now() - timedelta(seconds=idle))
    push_rule(people, always=False)
    happen()
    work(deliver=False)
    later(seconds=10)
    work()
    assert states() == [expected]


def test_a_browser_belongs_to_who_subscribed_last(people, service, browser):
    keys = browser.subscription["keys"]
    push.subscribe(caller=caller(people["bob"]), endpoint=browser.endpoint, **keys)
    assert [each.user for each in PushSubscription.objects.all()] == [people["bob"]]
    push.unsubscribe(caller=caller(people["alice"]), endpoint=browser.endpoint)
    assert PushSubscription.objects.count() == 1
    push.unsubscribe(caller=caller(people["bob"]), endpoint=browser.endpoint)
    assert not PushSubscription.objects.exists()


def test_the_oldest_browsers_make_room(people, service, settings):
    settings.NOTIFICATIONS_PUSH_SUBSCRIPTIONS_MAX = 2
    for name in ("one", "two", "three"):
        subscribed(service, name, people["alice"])
    assert sorted(each.endpoint[-3:] for each in PushSubscription.objects.all()) == ["ree", "two"]


@pytest.mark.parametrize("endpoint", ["https://10.0.0.7/push", "https://[::1]/push", "https://[::ffff:127.0.0.1]/push"])
def test_addresses_of_private_networks_are_not_called(people, service, settings, endpoint):
    settings.NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES = False
    push.subscribe(caller=caller(people["alice"]), endpoint=endpoint, **Browser(service, "x").subscription["keys"])
    push_rule(people)
    happen()
    work()
    assert states() == ["skipped"]
    assert service.requests == []
