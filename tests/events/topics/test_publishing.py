"""Events of our own code on topics: with their transaction, once, and as large as events may be."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from events.exceptions import InvalidRequest, TooLarge
from events.topics.publishing import publish_topic
from tests.events.topics import asking as topics

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = {"organization": "org_a", "source": "tasks", "resource": "task", "event": "completed", "resource_id": "t1"}
TOPIC = "events.org_a.tasks.task.completed.t1"


@pytest.fixture
def entries(valkey):
    def read():
        return [json.loads(next(iter(fields.values())))["data"] for _, fields in valkey.xrange("tl:{org:org_a}")]

    return read


def test_an_event_is_published_with_its_transaction_and_not_without(entries):
    with transaction.atomic():
        publish_topic(**FIELDS, payload={"n": 1})
        transaction.set_rollback(True)
    assert entries() == []
    with transaction.atomic():
        publish_topic(**FIELDS, payload={"n": 2}, filters={"agent": "a"}, tags=["x"])
        assert entries() == []
    [data] = entries()
    assert data["topic"] == f"{TOPIC}.agent.a"
    assert data["event"]["payload"] == {"n": 2}
    assert data["event"]["metadata"] == {"filters": {"agent": "a"}, "tags": ["x"]}


def test_the_same_key_is_published_once_also_in_two_transactions(entries):
    for n in (1, 2):
        publish_topic(**FIELDS, payload={"n": n}, idempotency_key="k")
    publish_topic(**FIELDS, payload={"n": 3}, idempotency_key="l")
    assert [data["event"]["payload"]["n"] for data in entries()] == [1, 3]


def test_what_is_no_topic_or_too_large_is_refused_at_once(entries):
    with pytest.raises(InvalidRequest, match="resourceId"):
        publish_topic(**FIELDS | {"resource_id": "a b"}, payload={})
    with pytest.raises(TooLarge):
        publish_topic(**FIELDS, payload={"a": "x" * 70_000})
    assert entries() == []


def test_the_command_publishes_and_prints_id_and_cursor(entries, capsys):
    topics.user("alice", "org_a")
    for _ in range(2):
        call_command("publish_event", TOPIC, payload='{"n": 1}', tag=["x"], key="k")
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    [data] = entries()
    assert first.split()[0] == data["event"]["id"]


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        (TOPIC, "nonsense", "JSON object"),
        ("events.org_a", "{}", "has the form"),
        ("events.org_x.a.b.c.d", "{}", "no organisation"),
    ],
)
def test_the_command_says_what_is_wrong(valkey, topic, payload, says):
    topics.user("alice", "org_a")
    with pytest.raises(CommandError, match=says):
        call_command("publish_event", topic, payload=payload)
