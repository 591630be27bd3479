"""Deliveries: under a lease, told once, put off, tried again, dead, replayed."""

from datetime import time, timedelta
from uuid import uuid4

import pytest

from accounts.models import Membership
from events.topics import access as topic_access
from notifications import deliveries
from notifications.deliveries import claim, failed, replay, sent, sift, tell_inbox
from notifications.inbox import Action, Chosen, act
from notifications.models import Delivery, Notification, Rule
from notifications.preferences import Quiet, choose, set_quiet
from tests.notifications.rules import caller, happen, later, now, organization, outcomes, rule, work


@pytest.fixture(autouse=True)
def acme(people, feed):
    return organization(people)


def held(people, *channels, **fields):
    """Deliveries to alice that are due, one by each channel."""
    made = rule(people["ops"], recipients=["user:user_alice"], channels=list(channels), **fields)
    happen()
    work(deliver=False)
    later(minutes=10)
    return made


def test_what_is_claimed_is_nobody_elses_until_the_lease_is_over(people, settings):
    held(people, "email")
    [first] = claim(now=now())
    assert claim(now=now()) == []
    [second] = claim(now=now() + timedelta(seconds=settings.NOTIFICATIONS_LEASE_SECONDS))
    assert second.first.pk == first.first.pk
    # The first worker only seemed dead: it may neither send nor say how it ended.
    assert sift(first, there=False, now=now()) is None
    assert sent(first, now=now()) is False
    failed(first, reason="late", now=now())
    assert Delivery.objects.get().status == "held"
    assert sent(second, now=now()) is True
    assert Delivery.objects.get().status == "sent"


def test_a_worker_that_was_overtaken_puts_nothing_into_the_inbox(people):
    held(people, "websocket")
    [first] = claim(now=now())
    [second] = claim(now=now() + timedelta(hours=1))
    assert tell_inbox(first, now=now()) is False
    assert not Notification.objects.exists()
    assert tell_inbox(second, now=now()) is True
    assert Notification.objects.count() == 1


def test_what_fails_is_tried_again_later_and_dead_in_the_end(people, settings):
    settings.NOTIFICATIONS_ATTEMPTS_MAX = 3
    held(people, "email")
    for attempt in range(3):
        [found] = claim(now=now() + timedelta(hours=attempt))
        failed(found, reason="no answer", now=now())
    row = Delivery.objects.get()
    assert (row.status, row.reason, row.attempts) == ("dead", "no answer", 3)
    assert claim(now=now() + timedelta(days=9)) == []


def test_the_pause_is_kept(people):
    held(people, "email")
    [found] = claim(now=now())
    failed(found, reason="busy", now=now(), wait=300)
    assert claim(now=now() + timedelta(seconds=299)) == []
    assert len(claim(now=now() + timedelta(seconds=301))) == 1


def test_what_kills_its_worker_each_time_is_dead(people, settings):
    settings.NOTIFICATIONS_ATTEMPTS_MAX = 2
    held(people, "email")
    assert [len(claim(now=now() + timedelta(hours=hours))) for hours in range(4)] == [1, 1, 0, 0]
    assert Delivery.objects.get().status == "dead"


def test_only_the_dead_are_replayed(people):
    held(people, "email", "websocket")
    Delivery.objects.filter(channel="email").update(status="dead", attempts=20)
    Delivery.objects.filter(channel="websocket").update(status="sent")
    assert replay(Delivery.objects.all(), now=now()) == 1
    [found] = claim(now=now())
    assert (found.first.channel, found.first.attempts) == ("email", 1)


def refused_rule(people, made):
    Rule.objects.filter(pk=made.pk).update(enabled=False)


def refused_preference(people, made):
    choose(caller=caller(people["alice"]), choices=[(None, "email", False)])


def refused_membership(people, made):
    Membership.objects.filter(user=people["alice"]).delete()


def refused_user(people, made):
    people["alice"].is_active = False
    people["alice"].save()


@pytest.mark.parametrize(
    ("change", "words"),
    [(refused_rule, "off"), (refused_preference, "want"), (refused_membership, "member"), (refused_user, "member")],
)
def test_what_has_changed_since_is_looked_at_when_it_is_sent(people, change, words):
    made = held(people, "email")
    change(people, made)
    [found] = claim(now=now())
    assert sift(found, there=False, now=now()) is None
    row = Delivery.objects.get()
    assert row.status == "skipped"
    assert words in row.reason


def test_who_may_not_see_the_event_any_more_is_not_told(people, monkeypatch):
    held(people, "email")
    monkeypatch.setitem(topic_access._rules, "shop", lambda caller, organization, ids: [])
    [found] = claim(now=now())
    assert sift(found, there=False, now=now()) is None
    assert "may not see" in Delivery.objects.get().reason


def test_quiet_hours_that_began_since_put_it_off_and_are_no_attempt(people):
    held(people, "email")
    at = now()
    begins, ends = (at - timedelta(hours=1)).time(), (at + timedelta(hours=1)).time()
    set_quiet(caller=caller(people["alice"]), quiet=Quiet(begins, ends, "UTC"))
    [found] = claim(now=at)
    assert sift(found, there=False, now=at) is None
    row = Delivery.objects.get()
    assert (row.status, row.attempts, row.due_at.time()) == ("held", 0, ends)
    set_quiet(caller=caller(people["alice"]), quiet=Quiet(time(1), time(2), "UTC"))


@pytest.mark.parametrize(("always", "expected"), [(False, "skipped"), (True, "held")])
def test_who_is_there_needs_no_mail_unless_the_rule_says_always(people, always, expected):
    held(people, "email", always=always)
    [found] = claim(now=now())
    assert (sift(found, there=True, now=now()) is None) == (expected == "skipped")
    assert Delivery.objects.get().status == expected


@pytest.mark.parametrize("action", [Action.SEEN, Action.READ, Action.ARCHIVE, Action.DELETE])
def test_what_was_seen_in_the_inbox_is_not_mailed(people, action):
    rule(people["ops"], recipients=["user:user_alice"], channels=["websocket", "email"])
    happen()
    work()
    act(caller=caller(people["alice"]), action=action, chosen=Chosen())
    later(minutes=10)
    work()
    assert [(channel, status) for _, channel, status, _ in outcomes()] == [("email", "skipped"), ("websocket", "sent")]


def test_a_digest_tells_all_that_was_collected_once(people):
    rule(people["ops"], recipients=["user:user_alice"], digest_seconds=60)
    for number in range(3):
        happen(number)
    work()
    assert not Notification.objects.exists()
    later(seconds=30)
    happen(3)
    work()
    later(seconds=31)
    work()
    [told] = Notification.objects.all()
    assert told.title == "4 times: Orders"
    assert told.body.splitlines() == ["Order 3", "Order 2", "Order 1", "Order 0"]
    # The next one begins anew, and takes nothing of the old one with it.
    happen(4)
    work()
    later(seconds=61)
    work()
    assert sorted(Notification.objects.values_list("title", flat=True)) == ["4 times: Orders", "Order 4"]
    assert {status for *_, status, _ in outcomes()} == {"sent"}


def test_what_comes_while_a_digest_is_sent_is_not_lost(people):
    rule(people["ops"], recipients=["user:user_alice"], digest_seconds=60)
    happen(1)
    work(deliver=False)
    later(seconds=61)
    [found] = claim(now=now())
    # Compared before the claim and written after it: it joins the digest that is being told.
    late = Delivery.objects.get()
    late.pk, late.event_id, late.title, late.attempts, late.leased_until, late.lease = uuid4(), "evt_late", "Late", 0, None, 0
    late.save(force_insert=True)
    assert tell_inbox(found, now=now())
    work()
    assert sorted(Notification.objects.values_list("title", flat=True)) == ["Late", "Order 1"]


def test_claims_are_bounded(people, settings):
    settings.NOTIFICATIONS_DELIVERIES_AT_ONCE = 2
    rule(people["ops"])
    happen()
    work(deliver=False)
    assert [len(claim(now=now())) for _ in range(3)] == [2, 1, 0]
    assert deliveries.SHOWN_IN_DIGEST
