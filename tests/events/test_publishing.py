import asyncio
import json

import pytest

from events.event import START
from events.exceptions import BrokerUnavailable, InvalidRequest, TooLarge
from events.publishing import Publication, _broker, now_ms, publish, publish_many
from events.streams import Stream
from tests.events.conftest import a_backlog, a_durable_stream, numbers


@pytest.fixture(autouse=True)
def _fresh_broker():
    """The broker of synchronous code is kept for the life of a process; each test has its own address."""
    _broker.cache_clear()
    yield
    _broker.cache_clear()


def test_what_is_published_is_in_the_stream(valkey):
    stream = a_backlog()
    before = now_ms()
    event_id = publish(stream=stream, type="test.note", data={"n": 1})
    [(raw_id, fields)] = valkey.xrange(f"tl:{{{stream.name}}}")
    stored = json.loads(fields[b"e"])
    assert raw_id.decode() == str(event_id)
    assert (stored["type"], stored["data"]) == ("test.note", {"n": 1})
    assert before <= stored["at"] <= now_ms()


async def test_many_are_published_in_order(hub):
    one, other = a_backlog(), a_backlog()
    ids = await publish_many([Publication((one, other)[n % 2], "test.note", {"n": n}) for n in range(20)])
    for number, stream in enumerate((one, other)):
        events = (await hub.log.read(stream, START)).events
        assert [event.id for event in events] == ids[number::2]
        assert numbers(events) == list(range(number, 20, 2))
    assert await publish_many([]) == []


async def test_threads_publish_side_by_side(hub):
    stream = a_backlog()
    await asyncio.gather(*(asyncio.to_thread(publish, stream=stream, type="test.note", data={"n": n}) for n in range(50)))
    assert sorted(numbers((await hub.log.read(stream, START)).events)) == list(range(50))


@pytest.mark.parametrize("type_", ["", "note", "Test.Note", "test note", "test.note\n", "a." + "b" * 100, "test..note", "é.x"])
def test_types_of_another_form_are_refused(valkey, type_):
    with pytest.raises(InvalidRequest):
        publish(stream=a_backlog(), type=type_, data={})


def test_nobody_publishes_to_a_stream_with_a_writer_of_its_own(valkey):
    with pytest.raises(InvalidRequest):
        publish(stream=a_durable_stream(), type="test.note", data={})


async def test_an_event_that_is_too_large_is_refused_with_all_that_came_with_it(hub, settings):
    settings.EVENT_MAX_BYTES = 1000
    stream = Stream("org", "o")
    with pytest.raises(TooLarge):
        await publish_many([Publication(stream, "test.note", {"n": 1}), Publication(stream, "test.note", {"n": "é" * 200})])
    assert (await hub.log.read(stream, START)).events == []


async def test_without_push_publishers_do_nothing(valkey, settings):
    settings.ENABLE_SSE_PUSH = False
    stream = a_backlog()
    assert publish(stream=stream, type="test.note", data={}) is None
    assert await publish_many([Publication(stream, "test.note", {})]) == []
    assert valkey.keys("*") == []


def test_a_broker_that_is_away_is_told(valkey_proxy):
    stream = a_backlog()
    publish(stream=stream, type="test.note", data={})
    valkey_proxy.cut()
    with pytest.raises(BrokerUnavailable):
        publish(stream=stream, type="test.note", data={})
    valkey_proxy.restore()
    publish(stream=stream, type="test.note", data={})
