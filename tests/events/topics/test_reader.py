"""What one connection is told across cuts, when topics are added to others with places of their own; and of too many answers."""

import asyncio
import json
import random
import uuid

import pytest

from accounts.threads import in_thread
from events.event import EventId
from events.publishing import Publication, publish_many
from events.streams import Stream, parse_cursor
from events.topics.cursor import LONGEST, Aside, SinceCursor, Standing, mark
from events.topics.event import TOPIC_EVENT, stored
from events.topics.grammar import parse_pattern, parse_topic
from events.topics.reader import TopicReader
from events.topics.streaming import Streaming, _kinds
from tests.events.topics import asking as topics
from tests.events.topics.asking import publish
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)

RESOURCES = ("task", "flow")
EVENTS = ("done", "begun")
STREAM = Stream("org", "org_a")


@pytest.fixture
def caller(settings, valkey):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return topics.caller_for(topics.user("alice", "org_a"))


class Reader:
    """A client that keeps its topics and its cursor, and nothing else."""

    def __init__(self, hub, caller):
        self._made = lambda: TopicReader(hub, caller)
        self._reader = self._made()
        self.topics = []
        self.cursor = ""
        self.numbers = []
        self.told = []

    async def add(self, *patterns, since=""):
        self.topics += patterns
        async with self._reader.turn:
            in_force, refusals, _ = await self._reader.subscribe(patterns, since=since)
            assert (in_force, refusals) == (list(patterns), [])
            self.cursor = self._reader.cursor

    async def hear(self, most=1000):
        """What is there now, of which it takes `most` frames; whether there was more, which is lost on the way."""
        self._reader.look_by = 0.0
        told = await self._reader.next()
        for each in told[:most]:
            frame = json.loads(each.text)
            self.told.append(frame)
            self.cursor = each.cursor or self.cursor
            if frame["type"] == "event":
                self.numbers.append(frame["event"]["payload"].get("n"))
        self._reader.has_told()
        return len(told) > most

    async def cut(self):
        """Comes back with all its topics in one frame, as the document says."""
        await self._reader.close()
        self._reader = self._made()
        known, self.topics = self.topics, []
        await self.add(*known, since=self.cursor)

    async def until(self, true):
        async with asyncio.timeout(patiently(30)):
            while not true():
                await self.hear()
                await asyncio.sleep(0.01)

    def of(self, kind):
        return [frame for frame in self.told if frame["type"] == kind]

    async def close(self):
        await self._reader.close()


@pytest.fixture
async def reader(hub, caller):
    made = Reader(hub, caller)
    yield made
    await made.close()


def a_topic(chance):
    return f"events.org_a.s.{chance.choice(RESOURCES)}.{chance.choice(EVENTS)}.r{chance.randint(1, 3)}"


def a_pattern(chance):
    segments = a_topic(chance).split(".")
    return ".".join(each if number < 3 or chance.random() < 0.5 else "*" for number, each in enumerate(segments))


@pytest.mark.parametrize("seed", range(12))
async def test_topics_that_are_added_with_places_of_their_own_are_told_everything_once_across_cuts(reader, seed, settings):
    settings.EVENTS_READ_BATCH = 7
    chance = random.Random(seed)
    happened = []
    since = {}

    async def happen(count):
        for _ in range(count):
            topic = a_topic(chance)
            [id_] = await publish(topic, len(happened))
            happened.append((id_, topic))

    await happen(chance.randint(1, 40))
    for pattern in dict.fromkeys(a_pattern(chance) for _ in range(5)):
        asked = chance.choice(["", "0-0", *(id_ for id_, _ in happened)])
        await reader.add(pattern, since=asked)
        since[pattern] = SinceCursor(reader.cursor).start(STREAM, parse_pattern(pattern)).since
        assert asked in ("", str(since[pattern]))
        for _ in range(chance.randint(0, 3)):
            await reader.hear()
        await happen(chance.randint(0, 5))
    for _ in range(chance.randint(3, 12)):
        if await reader.hear(most=chance.randint(0, 4)):
            await reader.cut()
    await happen(3)
    expected = [
        number
        for number, (id_, topic) in enumerate(happened)
        if any(
            parse_pattern(each).matches(parse_topic(topic)) and place < parse_cursor(STREAM, id_) for each, place in since.items()
        )
    ]
    await reader.until(lambda: set(expected) <= set(reader.numbers))
    await reader.hear()
    assert sorted(reader.numbers) == expected


async def test_a_cut_in_the_middle_of_what_an_added_topic_missed_repeats_nothing_of_the_others(reader):
    for number in range(6):
        await publish(f"events.org_a.s.{RESOURCES[number % 2]}.done.x", number)
    await reader.add("events.org_a.s.task.*.*", since="0-0")
    await reader.until(lambda: reader.numbers == [0, 2, 4])
    await reader.add("events.org_a.s.*.done.*", since="0-0")
    while await reader.hear(most=1) is False:
        pass
    assert reader.numbers == [0, 2, 4, 1]
    assert "~" in reader.cursor
    await reader.cut()
    await publish("events.org_a.s.task.done.x", 6)
    await reader.until(lambda: 6 in reader.numbers)
    assert reader.numbers == [0, 2, 4, 1, 3, 5, 6]
    await reader.until(lambda: "~" not in reader.cursor)


async def test_a_notice_has_it_return_once_and_then_it_waits_again(hub, caller):
    """It returned at once for ever: a socket whose credential was looked at again kept a whole core busy."""
    reader = TopicReader(hub, caller)
    async with reader.turn:
        await reader.subscribe(["events.org_a.s.task.*.*"], since="")
    reader.give_notice()
    async with asyncio.timeout(patiently(30)):
        while await reader.next():
            pass
        waiting = asyncio.create_task(reader.next())
        await publish("events.org_a.s.task.done.x", 1)
        assert len(await waiting) == 1
    await reader.close()


async def test_history_that_the_others_began_too_late_for_is_told_with_an_added_topic(reader):
    await publish("events.org_a.s.task.done.x", 1)
    await reader.add("events.org_a.s.*.done.*")
    await publish("events.org_a.s.task.done.x", 2)
    await reader.until(lambda: reader.numbers == [2])
    await reader.add("events.org_a.s.task.done.*", since="0-0")
    await reader.until(lambda: 1 in reader.numbers)
    await publish("events.org_a.s.task.done.x", 3)
    await reader.until(lambda: 3 in reader.numbers)
    assert reader.numbers == [2, 1, 3]


async def test_who_subscribes_again_topic_by_topic_with_one_cursor_is_told_everything_once(reader):
    for number in range(9):
        await publish(f"events.org_a.s.{RESOURCES[number % 2]}.done.x", number)
    await reader.add("events.org_a.s.task.*.*", since="0-0")
    await reader.hear()
    await reader.add("events.org_a.s.flow.*.*", since="0-0")
    await reader.add("events.org_a.s.*.done.*", since="0-0")
    await reader.until(lambda: len(reader.numbers) >= 9)
    await publish("events.org_a.s.task.done.x", 9)
    await reader.until(lambda: 9 in reader.numbers)
    assert sorted(reader.numbers) == list(range(10))


async def test_a_staff_account_that_takes_back_its_pattern_for_all_organisations_keeps_that_for_one(hub, valkey):
    staff = await in_thread(lambda: topics.caller_for(topics.user("service", "org_a", staff=True)))
    reader = Reader(hub, staff)
    try:
        await reader.add("events.*.s.task.done.*", "events.org_a.s.task.done.*")
        async with reader._reader.turn:
            await reader._reader.unsubscribe(["events.*.s.task.done.*"])
        await publish("events.org_a.s.task.done.x", 1)
        await reader.until(lambda: reader.numbers == [1])
    finally:
        await reader.close()


# Cursors.


def test_a_cursor_with_topics_aside_is_read_as_it_was_written():
    ahead, behind, later = (parse_pattern(f"events.org_a.s.task.{name}.*") for name in ("a", "b", "c"))
    asides = (Aside((mark(behind),), EventId(3, 0), EventId(5, 1)), Aside((mark(later),), EventId(8, 0), EventId(9, 0)))
    text = Standing({STREAM: EventId(9, 0)}, {STREAM: asides}).cursor
    read = SinceCursor(text)
    assert not read.is_malformed
    starts = [read.start(STREAM, each) for each in (ahead, behind, later)]
    assert [(start.place, start.since) for start in starts] == [
        (EventId(9, 0), EventId(0, 0)),
        (EventId(5, 1), EventId(3, 0)),
        (EventId(9, 0), EventId(8, 0)),
    ]


@pytest.mark.parametrize("text", ["org_a~x:1-0", "org_a~x~y:1-0", "org_a~x~1-0~2-0:1-0", "~:1-0", "org_a~x~1-0:z"])
def test_what_is_no_such_cursor_is_malformed(text):
    assert SinceCursor(text).is_malformed


def test_where_there_are_too_many_topics_to_be_named_something_is_told_twice_rather_than_not_at_all():
    marks = tuple(mark(parse_pattern(f"events.org_a.s.task.done.r{number}")) for number in range(1000))
    text = Standing({STREAM: EventId(9, 0)}, {STREAM: (Aside(marks, EventId(3, 0), EventId(5, 1)),)}).cursor
    assert (text, len(text) < LONGEST) == ("5-1", True)


# Running answers.


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
