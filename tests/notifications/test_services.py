"""Notifying: a row and an event, both or neither, once for a key."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from accounts.models import User
from events.exceptions import InvalidRequest, NotFound, TooLarge
from events.models import OutboxEvent
from notifications.models import Notification
from notifications.services import active_users, notify


def test_each_user_gets_a_row_and_an_event(people, feed):
    alice, bob = people["alice"], people["bob"]
    made = notify(users=[bob, alice], title="Done", body="All of it.", action_url="/sources", priority="high")
    assert [row.user_id for row in made] == [bob.pk, alice.pk]
    for name, row in zip(("bob", "alice"), made, strict=True):
        payload = {
            "notification_id": str(row.pk),
            "title": "Done",
            "body": "All of it.",
            "action_url": "/sources",
            "priority": "high",
        }
        assert feed(name) == [
            ("notification.created", {"scope": {"kind": "notification", "id": str(row.pk)}, "payload": payload})
        ]
    assert Notification.objects.filter(seen_at=None, read_at=None, archived_at=None).count() == 2


def test_what_is_rolled_back_notified_nobody(people, feed):
    with transaction.atomic():
        notify(users=[people["alice"]], title="Never")
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert feed() == []


def test_an_event_that_cannot_be_sent_leaves_no_row(people, feed, settings):
    settings.EVENT_MAX_BYTES = 300
    with pytest.raises(TooLarge):
        notify(users=[people["alice"]], title="Long", body="x" * 300)
    assert not Notification.objects.exists()
    assert not OutboxEvent.objects.exists()


def test_the_same_key_twice_is_one_notification(people, feed):
    alice, bob = people["alice"], people["bob"]
    (first,) = notify(users=[alice], title="Once", key="import:7")
    again = notify(users=[alice, bob], title="Other words", key="import:7")
    assert again[0].pk == first.pk
    assert again[0].title == "Once"
    assert again[1].user_id == bob.pk
    assert [len(feed(name)) for name in ("alice", "bob")] == [1, 1]


def test_without_a_key_the_same_words_are_told_again(people, feed):
    for _ in range(2):
        notify(users=[people["alice"]], title="Tick")
    assert len(feed()) == 2


def test_many_that_notify_of_one_key_at_once_notify_once(people, feed):
    users, start = list(people.values()), threading.Barrier(6)

    def notify_all(number):
        try:
            start.wait(10)
            # In another order each time: whoever waits for another must never be waited for by it.
            return notify(users=users[number % 3 :] + users[: number % 3], title="Once", key="k")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        made = list(threads.map(notify_all, range(6)))
    assert Notification.objects.count() == 3
    assert {row.pk for rows in made for row in rows} == set(Notification.objects.values_list("pk", flat=True))
    assert [len(feed(name)) for name in ("alice", "bob", "ops")] == [1, 1, 1]


@pytest.mark.parametrize(
    "url",
    ["", "/", "/sources?x=1#y", "/a%20b", "https://example.org", "http://localhost:8000/x", "https://example.org/?q=a:b@c"],
)
def test_it_may_lead_to_a_path_or_to_the_web(people, feed, url):
    assert notify(users=[people["alice"]], title="t", action_url=url)[0].action_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "ftp://x/y"),
        *("//elsewhere.example", "/\\elsewhere.example", "\\\\elsewhere", "/a b", "/a\tb", "sources", "?x=1", "#x"),
        *("https:example.org", "https:///path", "https://", "https://user:secret@example.org", "https://[::1/", "http://a b/"),
        *("/" + "x" * 2000, "/\u202eevil", "https://example.org/\\..", 'https://example.org/"\x00'),
    ],
)
def test_it_leads_nowhere_else(people, feed, url):
    with pytest.raises(InvalidRequest, match="action_url must be"):
        notify(users=[people["alice"]], title="t", action_url=url)
    assert feed() == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"title": "  "}, "title must not be empty"),
        ({"title": "x" * 201}, "title has 201 characters"),
        ({"body": "x" * 2001}, "body has 2001 characters"),
        ({"key": "x" * 256}, "key has 256 characters"),
        ({"priority": "urgent"}, "priority must be one of low, normal, high, critical"),
    ],
)
def test_what_is_wrong_is_said(people, fields, says):
    with pytest.raises(InvalidRequest, match=says):
        notify(**{"users": [people["alice"]], "title": "t"} | fields)
    assert not Notification.objects.exists()


def test_the_longest_that_is_accepted_fits_into_an_event(people, feed):
    notify(users=[people["alice"]], title="\U0001f30a" * 200, body="\U0001f30a" * 2000, action_url="/" + "\u00e9" * 1999)
    assert len(feed()) == 1


def test_text_that_no_store_holds_is_made_storable(people, feed):
    assert notify(users=[people["alice"]], title="a\x00b\ud800")[0].title == "a\ufffdb\ufffd"


def test_users_are_found_once_and_only_when_active(people):
    assert active_users(["user_bob", "user_alice", "user_bob"]) == [people["bob"], people["alice"]]
    User.objects.filter(username="bob").update(is_active=False)
    for unknown in ("user_bob", "nobody", "\x00"):
        with pytest.raises(NotFound):
            active_users(["user_alice", unknown])


def test_nobody_to_tell_is_no_error(people):
    assert notify(users=[], title="t", key=str(uuid.uuid4())) == []
