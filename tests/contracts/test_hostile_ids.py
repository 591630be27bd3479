"""Ids that look like parts of keys, hash tags and subjects: nobody reads, is counted or is seen where another is."""

import itertools

from events.broker.base import Entry, Here
from events.event import START
from events.streams import Stream
from tests.events.conftest import numbers, packed

IDS = [
    "a",
    "a:b",
    "a}",
    "{a}",
    "a}b{",
    "}{",
    "*",
    ">",
    "a.b",
    "a.>",
    "a.*",
    "%2E",
    "a%3Ab",
    "~",
    "a b",
    "user:a",
    "a:meta",
    "A",
    "ä",
]
STREAMS = [Stream(kind, each) for kind, each in itertools.product(("user", "workspace"), IDS)]
PLACES = [f"{kind}:{each}" for kind, each in itertools.product(("workspace", "chat"), IDS)]


async def test_every_id_has_a_stream_of_its_own(broker):
    for number, stream in enumerate(STREAMS):
        await broker.append([(stream, packed(number))])
    found = await broker.read([(stream, START) for stream in STREAMS], limit=100)
    assert [numbers(reading.events) for reading in found] == [[number] for number in range(len(STREAMS))]


async def test_every_organisation_has_topics_of_its_own(broker):
    """Their events are published as such, whose organisation is checked: here only that none of the hostile reads another's."""
    await broker.append([(Stream("org", "a"), packed(1))])
    others = [Stream("org", each) for each in IDS if each != "a"]
    for stream, reading in zip(others, await broker.read([(each, START) for each in others], limit=100), strict=True):
        assert reading.events == [], stream


async def test_every_id_has_slots_and_a_budget_of_its_own(broker):
    for each in IDS:
        assert not (await broker.admit(each, "1", slots=1, seconds=60, replays=1, window=60)).used_up, each
    for each in IDS:
        assert (await broker.admit(each, "2", slots=1, seconds=60, replays=1, window=60)).used_up, each


async def test_every_id_is_a_place_and_a_person_of_its_own(broker):
    await broker.hold([Entry(place, user, "1") for place, user in zip(PLACES, IDS * 2, strict=True)], seconds=60, epoch="")
    for place, user in zip(PLACES, IDS * 2, strict=True):
        assert await broker.here(place, limit=9) == Here(1, [user]), place
