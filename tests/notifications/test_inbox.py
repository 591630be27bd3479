"""What a user does with his notifications, and that his other tabs hear of it."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from events.exceptions import InvalidRequest, NotFound
from notifications import inbox
from notifications.inbox import Action, Chosen, State, state_of
from notifications.models import Notification
from notifications.services import notify
from tests.notifications.conftest import caller_of, tell

NOTHING = {"unseen": 0, "seen": 0, "read": 0, "archived": 0, "unread": 0}


@pytest.fixture
def alice(people):
    return caller_of(people["alice"])


@pytest.fixture
def act(alice):
    """Does something with notifications of alice; the counts."""
    return lambda action, *ids, **chosen: inbox.act(caller=alice, action=Action(action), chosen=Chosen(ids=ids or None, **chosen))


def state(pk):
    return state_of(Notification.objects.get(pk=pk))


def updates(feed):
    return [data["payload"] for type_, data in feed() if type_ == "notification.updated"]


@pytest.mark.parametrize(
    ("actions", "ends"),
    [
        ([], State.UNSEEN),
        (["seen"], State.SEEN),
        (["read"], State.READ),
        (["read", "unread"], State.SEEN),
        (["seen", "read", "seen"], State.READ),
        (["archive"], State.ARCHIVED),
        (["archive", "read"], State.ARCHIVED),
        (["archive", "unarchive"], State.SEEN),
        (["read", "archive", "unarchive"], State.READ),
    ],
)
def test_where_actions_lead(people, act, alice, actions, ends):
    (id,) = tell(people["alice"], "t")
    for action in actions:
        act(action, id)
    assert state(id) == ends
    for each in State:
        found, _ = inbox.list_notifications(caller=alice, state=each, cursor="")
        assert [row.pk for row in found] == ([id] if each == ends else [])
    assert inbox.counts(caller=alice) == NOTHING | {str(ends): 1} | ({"unread": 1} if ends in ("unseen", "seen") else {})


@pytest.mark.parametrize("action", list(Action))
def test_an_action_again_changes_nothing_and_tells_nobody(people, act, feed, action):
    (id,) = tell(people["alice"], "t")
    if action in (Action.UNREAD, Action.UNARCHIVE):
        act({"unread": "read", "unarchive": "archive"}[action], id)
    before = len(updates(feed))
    counts = act(action, id)
    row = Notification.objects.get()
    assert updates(feed)[before:] == [{"action": action, "ids": [str(id)], "counts": counts}]
    assert act(action, id) == counts
    assert len(updates(feed)) == before + 1
    again = Notification.objects.get()
    assert (again.seen_at, again.read_at, again.archived_at, again.deleted_at) == (
        row.seen_at,
        row.read_at,
        row.archived_at,
        row.deleted_at,
    )


def test_all_is_all_of_a_state_until_a_time_and_nobody_elses(people, act, feed):
    tell(people["bob"], "his")
    old = tell(people["alice"], "one", "two")
    (new,) = tell(people["alice"], "came while all were being read")
    until = Notification.objects.get(pk=old[1]).created_at
    assert act("read", until=until) == NOTHING | {"read": 2, "unseen": 1, "unread": 1}
    assert state(new) == State.UNSEEN
    assert act("archive", state="read") == NOTHING | {"archived": 2, "unseen": 1, "unread": 1}
    assert act("delete", state="archived") == NOTHING | {"unseen": 1, "unread": 1}
    assert act("delete") == NOTHING
    assert [sorted(each["ids"]) for each in updates(feed)[:2]] == [sorted(map(str, old))] * 2
    assert Notification.objects.filter(user=people["bob"], seen_at=None, deleted_at=None).count() == 1


def test_more_than_an_event_names_are_told_without_names(people, act, feed, settings):
    settings.NOTIFICATIONS_ACTION_MAX = 2
    tell(people["alice"], "one", "two", "three")
    act("seen")
    assert updates(feed) == [{"action": "seen", "ids": None, "counts": NOTHING | {"seen": 3, "unread": 3}}]


def test_one_foreign_id_and_nothing_changes(people, act, feed):
    (mine,) = tell(people["alice"], "mine")
    (his,) = tell(people["bob"], "his")
    for unknown in (his, uuid.uuid4()):
        for action in Action:
            with pytest.raises(NotFound):
                act(action, mine, unknown)
    assert (state(mine), state(his)) == (State.UNSEEN, State.UNSEEN)
    assert updates(feed) == []


def test_what_was_deleted_is_emptied_gone_from_every_list_and_not_brought_back_by_its_key(people, act, alice, feed):
    (row,) = notify(users=[people["alice"]], title="Secret", body="s", action_url="/s", key="k")
    act("archive", row.pk)
    act("delete", row.pk)
    kept = Notification.objects.get()
    assert (kept.title, kept.body, kept.action_url) == ("", "", "")
    notify(users=[people["alice"]], title="Secret", key="k")
    assert inbox.counts(caller=alice) == NOTHING
    assert [inbox.list_notifications(caller=alice, state=each, cursor="")[0] for each in ("", *State)] == [[]] * 5
    with pytest.raises(NotFound):
        inbox.get(caller=alice, notification_id=row.pk)


def test_an_unknown_state_is_refused(alice, act):
    with pytest.raises(InvalidRequest, match="state must be one of unread, unseen"):
        inbox.list_notifications(caller=alice, state="new", cursor="")
    with pytest.raises(InvalidRequest):
        act("delete", state="everything")


def test_counts_told_at_once_by_many_add_up(people, alice, feed):
    """Each change is counted with all before it: the last event of the feed has the final counts."""
    ids = tell(people["alice"], *map(str, range(12)))
    start = threading.Barrier(4)

    def read(part):
        try:
            start.wait(10)
            for id in ids[part::4]:
                inbox.act(caller=alice, action=Action.READ, chosen=Chosen(ids=[id]))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4)))
    assert sorted(each["counts"]["read"] for each in updates(feed)) == list(range(1, 13))
    assert inbox.counts(caller=alice) == NOTHING | {"read": 12}
