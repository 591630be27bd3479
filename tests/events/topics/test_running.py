"""Of which running answers one connection is told."""

import uuid

import pytest

from events.publishing import Publication, publish_many
from events.streams import Stream
from events.topics.event import TOPIC_EVENT, stored
from events.topics.grammar import parse_topic
from events.topics.streaming import Streaming, _kinds

pytestmark = pytest.mark.django_db(transaction=True)

STREAM = Stream("org", "org_a")


@pytest.fixture
def answers(monkeypatch):
    """A kind of events that is streamed: what begins with `begun` on a conversation; none of them has a token yet."""
    running = []
    kind = Streaming(
        source="talk",
        resource="talk",
        event="token",
        begins="begun",
        running=lambda caller, organization, resource, ids: [(each, "x") for each in running],
        payload=lambda event: {"text": event.data["text"]},
    )
    monkeypatch.setattr("events.topics.streaming._kinds", [*_kinds, kind])
    return running


async def test_answers_beyond_those_that_one_connection_follows_are_told_as_such(reader, answers, settings):
    settings.TOPIC_ANSWERS_MAX = 2
    answers += [_answer(number) for number in range(3)]
    await reader.add("events.org_a.talk.talk.token.*")
    await reader.until(lambda: reader.of("not_streamed"))
    assert reader.of("not_streamed") == [
        {
            "type": "not_streamed",
            "topic": "events.org_a.talk.talk.token.x",
            "message_id": _answer(2),
            "message": "The tokens of at most 2 running answers are told over one connection. "
            f"Read this one at /api/messages/{_answer(2)}/events.",
        }
    ]


async def test_of_an_answer_that_begins_later_it_is_told_too_and_once(reader, answers, settings):
    settings.TOPIC_ANSWERS_MAX = 1
    answers += [_answer(0)]
    await reader.add("events.org_a.talk.talk.token.*", "events.org_a.talk.talk.begun.*")
    for _ in range(2):
        await begin(_answer(1))
    await reader.until(lambda: len(reader.of("event")) == 2)
    await reader.hear()
    assert [each["message_id"] for each in reader.of("not_streamed")] == [_answer(1)]
    # Which answers are followed is in the cursor, and those that were told as not streamed are not.
    assert _answer(0) in reader.cursor
    assert _answer(1) not in reader.cursor


async def begin(message_id):
    topic = parse_topic("events.org_a.talk.talk.begun.x")
    data = stored(topic, id=message_id, at=1_700_000_000, payload={"message_id": message_id})
    await publish_many([Publication(STREAM, TOPIC_EVENT.name, data)])


def _answer(number):
    return str(uuid.UUID(int=number + 1))
