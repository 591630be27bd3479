"""What one connection is told across cuts, when topics are added to others with places of their own."""

import asyncio
import random

import pytest

from accounts.threads import in_thread
from events.streams import Stream, parse_cursor
from events.topics.cursor import SinceCursor
from events.topics.grammar import parse_pattern, parse_topic
from events.topics.reader import TopicReader
from tests.events.topics import asking as topics
from tests.events.topics.asking import publish
from tests.events.topics.reading import Reader
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)

RESOURCES = ("task", "flow")
EVENTS = ("done", "begun")
STREAM = Stream("org", "org_a")


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
