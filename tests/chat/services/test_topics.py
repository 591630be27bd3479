"""What topics say of conversations, to whom, and that they keep no message from being accepted or ended."""

import dataclasses
import json
import uuid

import pytest
import redis

from accounts.models import Organization
from chat.services import claiming, endings, topics
from chat.services.endings import WORKER_DIED
from chat.services.questions import message_stream
from events import journal
from events.event import START
from events.topics.grammar import WILDCARD
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")

ORGANIZATION = "org_tests"


@pytest.fixture
def told(redis_url):
    """(event, payload) of what the organisation's topics were told."""

    def read(organization=ORGANIZATION):
        with redis.Redis.from_url(redis_url) as client:
            entries = client.xrange(f"tl:{{org:{organization}}}")
        events = [json.loads(next(iter(fields.values())))["data"]["event"] for _, fields in entries]
        return [(each["eventName"], each["payload"]) for each in events]

    return read


def fail(message, /, **changes):
    claim = claiming.claim(message_id=message.pk, worker="w")
    events = journal.read(message_stream(message.pk), START)
    ending = dataclasses.replace(WORKER_DIED, **changes)
    endings.end(message_id=message.pk, conversation_id=message.conversation_id, lease=claim.lease, events=events, ending=ending)


def test_a_question_is_a_new_conversation_a_message_and_an_answer_that_begins(alice, told):
    first = ask(alice, "hello")
    assert [name for name, _ in told()] == ["created", "message_posted", "message_started"]
    assert told()[1][1]["text"] == "hello"
    assert told()[1][1]["user_id"] == alice.user_id
    assert told()[2][1]["message_id"] == str(first.pk)
    ask(alice, "again", conversation_id=first.conversation_id)
    assert [name for name, _ in told()][3:] == ["message_posted", "message_started"]


def test_a_failed_answer_is_a_failed_task_however_long_its_error(alice, told):
    fail(ask(alice), message="x" * 100_000)
    name, payload = told()[-1]
    assert (name, payload["code"], payload["user_id"]) == ("failed", "producer_stale", alice.user_id)
    assert len(payload["error"]) == topics.ERROR_CHARS


def test_a_message_that_is_too_long_for_an_event_is_told_by_its_beginning_or_its_id(alice, told):
    ask(alice, "x" * 9000)
    assert len(told()[1][1]["text"]) == topics.TEXT_CHARS
    ask(alice, "\U0001f600" * 8000)
    assert told()[4][1] | {"text": "", "text_truncated": True} == told()[4][1]


def test_an_organisation_whose_id_can_be_no_segment_has_no_topics_and_can_chat(alice, told):
    Organization.objects.filter(public_id=ORGANIZATION).update(public_id="an organisation")
    fail(ask(alice))
    assert told() == told("an organisation") == []


def test_only_who_takes_part_sees_a_conversation_and_a_deleted_one_nobody(alice, bob):
    message = ask(alice)
    conversation, task, other = str(message.conversation_id), str(message.pk), str(uuid.uuid4())
    seen = topics.visible_conversations(alice, ORGANIZATION, {conversation, other, "conv_456"})
    assert seen == {conversation, "conv_456"}
    assert topics.visible_conversations(bob, ORGANIZATION, {conversation, other, "conv_456"}) == {"conv_456"}
    assert topics.visible_tasks(alice, ORGANIZATION, {task, other, "t1"}) == {task, "t1"}
    assert topics.visible_tasks(bob, ORGANIZATION, {task, other, "t1"}) == {"t1"}


def test_the_running_answers_are_those_of_one_organisation_that_the_caller_may_see(alice, bob):
    message = ask(alice)
    found = [(str(message.pk), str(message.conversation_id))]
    assert topics.running(alice, ORGANIZATION, WILDCARD, []) == found
    assert topics.running(alice, ORGANIZATION, str(message.conversation_id), []) == found
    for nothing in ((bob, ORGANIZATION, WILDCARD), (alice, "org_other", WILDCARD), (alice, ORGANIZATION, "conv_456")):
        assert topics.running(*nothing, []) == []
    fail(message)
    assert topics.running(alice, ORGANIZATION, WILDCARD, []) == []
    assert topics.running(alice, ORGANIZATION, WILDCARD, [str(message.pk)]) == found
