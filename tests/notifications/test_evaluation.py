"""Events become deliveries: for whom, once, and with nothing passed over."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
import redis
from asgiref.sync import async_to_sync

from accounts.models import Membership, Organization
from events.broker.connect import connect
from events.topics import access as topic_access
from events.topics.event import organization_stream
from notifications import recipients
from notifications.evaluation import evaluate, places
from notifications.metrics import MISSED
from notifications.models import Delivery, Notification, Position, Rule
from notifications.rules import change, create
from tests.notifications.rules import ORG, PATTERN, caller, happen, now, organization, outcomes, rule, work


@pytest.fixture(autouse=True)
def acme(people, feed):
    return organization(people)


@pytest.fixture
def rooms(monkeypatch):
    """Orders have participants: alice and bob take part, and nobody else may see them."""
    users = ["user_alice", "user_bob"]
    monkeypatch.setitem(recipients._participants, "shop", lambda organization, resource: users)
    rule = lambda caller, organization, ids: ids if caller.user_id in users else []  # noqa: E731
    monkeypatch.setitem(topic_access._rules, "shop", rule)
    return users


def told():
    return sorted({user for user, _, status, _ in outcomes() if status != "skipped"})


def test_a_rule_tells_members_what_happened(people, feed):
    rule(
        people["ops"],
        title="Order {{ payload.number }} of {{ payload.by|upper }}",
        body="Look.",
        action_url="/orders/{{ event.resourceId }}",
    )
    happen(7, by="ann")
    work()
    assert outcomes() == [(name, "websocket", "sent", "Order 7 of ANN") for name in ("alice", "bob", "ops")]
    [(type_, data)] = feed("alice")
    assert type_ == "notification.created"
    assert (data["payload"]["body"], data["payload"]["action_url"]) == ("Look.", "/orders/o7")


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["participants"], ["alice", "bob"]),
        (["participants_except_sender"], ["bob"]),
        (["participants_except_sender", "participants"], ["alice", "bob"]),
        (["user:user_bob"], ["bob"]),
        # Who may not see the event is not told of it, whatever the rule says.
        (["members"], ["alice", "bob"]),
        (["role:admin"], []),
        (["user:user_ops"], []),
        (["user:user_nobody"], []),
    ],
)
def test_recipients_of_what_has_participants(people, rooms, named, expected):
    rule(people["ops"], recipients=named)
    happen(sender_id="user_alice")
    work(deliver=False)
    assert told() == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["members"], ["alice", "bob", "ops"]),
        (["role:admin"], ["ops"]),
        (["role:member", "user:user_ops"], ["alice", "bob", "ops"]),
        (["participants"], []),
    ],
)
def test_recipients_of_what_has_none(people, named, expected):
    rule(people["ops"], recipients=named)
    happen()
    work(deliver=False)
    assert told() == expected


def test_who_left_the_organisation_or_is_deactivated_is_not_told(people):
    Membership.objects.filter(user=people["alice"]).delete()
    people["bob"].is_active = False
    people["bob"].save()
    rule(people["ops"], recipients=["members", "user:user_alice", "user:user_bob"])
    happen()
    work(deliver=False)
    assert told() == ["ops"]


def test_only_what_matches_pattern_and_condition(people):
    rule(people["ops"], condition="payload.number > 2", recipients=["user:user_ops"])
    for number in (1, 3):
        happen(number)
        happen(number, event="paid")
    work(deliver=False)
    assert [title for *_, title in outcomes()] == ["Order 3"]


def test_an_event_is_compared_once_however_many_workers_look(people):
    rule(people["ops"])
    happen()
    [place] = [each for each in places() if each.organization_id == ORG]

    async def read():
        broker = connect()
        try:
            return (await broker.read([(organization_stream(ORG), place.cursor)], limit=10))[0]
        finally:
            await broker.close()

    reading = async_to_sync(read)()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: _fresh(evaluate, place, reading, reading.events[-1].id), range(8)))
    assert sorted(done) == [0] * 7 + [1]
    assert len(outcomes()) == 3


def _fresh(function, *arguments):
    from django.db import connection

    try:
        return function(*arguments)
    finally:
        connection.close()


def test_the_same_event_twice_does_not_notify_twice(people, acme):
    rule(people["ops"])
    happen(key="order-1")
    work()
    happen(key="order-1")
    # As after a crash that lost the cursor.
    Position.objects.update(cursor="0-0")
    work()
    assert len(outcomes()) == Notification.objects.count() == 3


def test_what_happened_while_no_worker_ran_is_told_by_the_next(people):
    rule(people["ops"], recipients=["user:user_ops"])
    for number in range(30):
        happen(number)
    work(deliver=False)
    assert [title for *_, title in outcomes()] == [f"Order {number}" for number in range(30)]


def test_a_rule_tells_only_what_happens_after_it_was_made_or_switched_on(people):
    happen(1)
    made = create(
        caller=caller(people["ops"]),
        organization_id=ORG,
        fields={
            "name": "Later",
            "pattern": PATTERN,
            "title": "{{ payload.number }}",
            "channels": ["websocket"],
            "recipients": ["user:user_ops"],
        },
    )
    happen(2)
    work(deliver=False)
    change(caller=caller(people["ops"]), rule_id=made.pk, fields={"enabled": False})
    happen(3)
    change(caller=caller(people["ops"]), rule_id=made.pk, fields={"enabled": True})
    happen(4)
    work(deliver=False)
    assert [title for *_, title in outcomes()] == ["2", "4"]


def test_a_template_that_fails_is_reported_to_its_owner_and_the_event_is_told(people, feed):
    made = rule(people["ops"], title="{{ payload.nope }}", recipients=["user:user_alice"])
    happen(1)
    happen(2)
    work()
    assert [(who, status, title) for who, _, status, title in outcomes()] == [("alice", "sent", "Orders")] * 2
    [(_, data)] = feed("ops")
    assert data["payload"]["title"] == "Rule failed: Orders"
    assert "'nope'" in data["payload"]["body"]
    assert "'nope'" in Rule.objects.get(pk=made.pk).failure


def test_a_condition_that_fails_is_reported_and_holds_nothing_up(people, feed):
    rule(people["ops"], condition="payload.number > 'x'", recipients=["user:user_alice"])
    rule(people["ops"], name="Other", recipients=["user:user_alice"])
    happen()
    work()
    assert [title for *_, title in outcomes()] == ["Order 1"]
    assert [data["payload"]["title"] for _, data in feed("ops")] == ["Rule failed: Orders"]


def test_an_address_that_leads_nowhere_good_is_a_failure(people):
    made = rule(people["ops"], action_url="{{ payload.url }}", recipients=["user:user_alice"])
    happen(url="javascript:alert(1)")
    work(deliver=False)
    assert Delivery.objects.get().action_url == ""
    assert "action_url" in Rule.objects.get(pk=made.pk).failure


def test_a_throttle_counts_the_events_that_were_told_within_its_window(people):
    rule(
        people["ops"],
        throttle_limit=2,
        throttle_seconds=60,
        recipients=["user:user_alice", "user:user_bob"],
        channels=["websocket", "push"],
    )
    for number in range(4):
        happen(number)
    work(deliver=False)
    assert [title for who, channel, status, title in outcomes() if (who, channel, status) == ("alice", "websocket", "held")] == [
        "Order 0",
        "Order 1",
    ]
    assert [title for who, channel, status, title in outcomes() if (who, channel, status) == ("bob", "push", "held")] == [
        "Order 0",
        "Order 1",
    ]
    Delivery.objects.update(happened_at=now() - timedelta(seconds=61))
    happen(9)
    work(deliver=False)
    assert Delivery.objects.filter(title="Order 9", status="held").count() == 4


def test_built_in_rules_are_there_for_every_organisation_and_can_be_switched_off(people, acme, monkeypatch):
    monkeypatch.setitem(recipients._participants, "conversations", lambda organization, resource: ["user_alice", "user_bob"])
    monkeypatch.setitem(recipients._participants, "tasks", lambda organization, resource: ["user_alice"])
    work(deliver=False)
    assert not Rule.objects.filter(organization=acme, enabled=False).exists()
    said = {"source": "conversations", "resource": "conversation", "event": "message_posted", "title": "Plans"}
    happen(0, **said, role="assistant", text="An answer")
    happen(
        1,
        source="conversations",
        resource="conversation",
        event="message_posted",
        sender_id="user_alice",
        text="Hi",
        title="Plans",
    )
    happen(2, source="conversations", resource="conversation", event="created", sender_id="user_alice")
    # Every answer is a task: nobody is told of one for which somebody just sat and waited.
    happen(3, source="tasks", resource="task", event="completed", title="Report", seconds=75.5, conversation_id="c1")
    happen(3, source="tasks", resource="task", event="completed", title="Short", seconds=3.2, conversation_id="c1")
    happen(4, source="tasks", resource="task", event="failed", title="Report", error="No disk")
    work(deliver=False)
    assert [(who, title) for who, channel, _, title in outcomes() if channel == "websocket"] == [
        ("bob", "New message in Plans"),
        ("bob", "You take part in a new conversation"),
        ("alice", "Completed: Report"),
        ("alice", "Failed: Report"),
    ]
    assert not Rule.objects.exclude(failure="").exists()
    assert Delivery.objects.filter(title="Completed: Report", channel="websocket").get().action_url == "/rooms/c1"
    Rule.objects.filter(builtin="task_completed").update(enabled=False)
    happen(5, source="tasks", resource="task", event="completed", title="Other", seconds=75.5)
    work(deliver=False)
    assert not Delivery.objects.filter(title="Completed: Other").exists()
    assert Rule.objects.filter(organization=acme, builtin="task_completed").count() == 1


def test_an_organisation_that_is_new_loses_none_of_its_first_events(people):
    Organization.objects.all().delete()
    organization(people)
    happen(3, source="tasks", resource="task", event="failed", title="")
    recipients.participants_by("tasks", lambda organization, resource: ["user_alice"])
    try:
        work(deliver=False)
    finally:
        del recipients._participants["tasks"]
    assert [title for *_, title in outcomes()] == ["Failed: an answer"] * 2


def gaps(feed, name):
    return [data["payload"] for _, data in feed(name) if "missed" in data["payload"]["title"]]


@pytest.fixture
def missed(monkeypatch):
    """The reasons that were counted."""
    counted = []
    monkeypatch.setattr(MISSED, "labels", lambda reason: counted.append(reason) or SimpleNamespace(inc=lambda: None))
    return counted


def trimmed(redis_url, *, kept):
    with redis.Redis.from_url(redis_url) as client:
        client.xtrim(f"tl:{{org:{ORG}}}", maxlen=kept, approximate=False)


def test_events_that_were_gone_before_they_were_compared_are_told_to_who_has_rules(people, feed, redis_url, missed):
    rule(people["bob"], recipients=["user:user_bob"])
    happen(1)
    work()
    for number in range(2, 6):
        happen(number)
    trimmed(redis_url, kept=2)
    work()
    assert [title for *_, title in outcomes()] == ["Order 1", "Order 4", "Order 5"]
    assert missed == ["trimmed"]
    [notice] = gaps(feed, "bob")
    assert notice["title"] == "Rules may have missed events of Acme"
    assert notice["priority"] == "high"
    # Those of the built-in rules, which nobody owns, go to the admins; who has no rule is not troubled.
    assert len(gaps(feed, "ops")) == 1
    assert gaps(feed, "alice") == []


def test_a_worker_that_stays_behind_says_so_once_an_hour_and_goes_on(people, feed, redis_url, missed):
    rule(people["bob"], recipients=["user:user_bob"])
    for number in range(3):
        happen(number)
        work()
        happen(100 + number)
        happen(200 + number)
        trimmed(redis_url, kept=1)
        work()
    assert [title for *_, title in outcomes()] == [f"Order {n}" for n in (0, 200, 1, 201, 2, 202)]
    assert missed == ["trimmed"] * 3
    assert 1 <= len(gaps(feed, "bob")) <= 2, "twice where an hour ended meanwhile"


@pytest.mark.parametrize(("quiet_hours", "reasons"), [(49, []), (1, ["expired"])])
def test_a_stream_that_is_gone_because_nothing_happened_is_no_loss(people, redis_url, missed, quiet_hours, reasons):
    rule(people["bob"], recipients=["user:user_bob"])
    happen(1)
    work()
    Position.objects.filter(organization__public_id=ORG).update(event_at=now() - timedelta(hours=quiet_hours))
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"tl:{{org:{ORG}}}")
    work()
    happen(2)
    work()
    assert [title for *_, title in outcomes()] == ["Order 1", "Order 2"]
    assert missed == reasons
