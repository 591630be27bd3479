"""What only the broker on NATS does."""

import asyncio
import contextlib
import json
import uuid

import nats
import pytest

from events.broker.base import Appended, DurableAppend
from events.broker.nats import NatsBroker
from events.broker.nats_subjects import BACKLOG, DURABLE, TOPICS, stream_name, token
from events.event import START, Event, EventId, pack
from events.exceptions import BrokerUnavailable
from events.streams import Stream
from events.topics.event import TopicEvent, stored
from events.topics.grammar import parse_topic
from realtime_project.serving.nats import EmbeddedNats
from tests.events.conftest import a_backlog, a_durable_stream, note, notes, numbers, packed, seqs, sooner_or_later
from tests.patience import patiently
from tests.proxies import Proxy
from tests.wiping import wipe_nats

LIMIT = 100


@pytest.fixture
async def broker(nats_url):
    await wipe_nats(nats_url)
    broker = NatsBroker(nats_url)
    yield broker
    await broker.close()


@pytest.fixture
async def client(nats_url):
    """Somebody else who uses the same NATS."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


def an_organisation():
    return Stream("org", f"org_{uuid.uuid4().hex}")


def topic_event(topic, payload):
    """A packed event of ours on a topic."""
    return pack("topic.event", stored(parse_topic(topic), id="evt_1", at=1_700_000_000, payload=payload), 1_700_000_000_000)


def name_of(topic):
    """How the event of a topic is called."""
    return stored(parse_topic(topic), id="", at=0, payload={})["event"]["eventName"]


async def read(broker, stream, cursor=START, *, limit=LIMIT):
    return (await broker.read([(stream, cursor)], limit=limit))[0]


class TestTopics:
    async def test_our_events_reach_whoever_listens_in_nats(self, broker, client):
        org, other = an_organisation(), an_organisation()
        heard = []
        subscription = await client.subscribe(f"events.{org.id}.*.*.created.>")
        await client.flush()
        topic = f"events.{org.id}.tasks.task.created.t1.color.red"
        await broker.append(
            [(other, topic_event(f"events.{other.id}.tasks.task.created.t1", {})), (org, topic_event(topic, {"n": 1}))]
        )
        heard.append(await subscription.next_msg(5))
        assert heard[0].subject == topic
        event = json.loads(heard[0].data)
        assert (event["id"], event["eventName"], event["payload"]) == ("evt_1", name_of(topic), {"n": 1})

    async def test_they_are_read_as_they_were_appended(self, broker):
        org = an_organisation()
        event = topic_event(f"events.{org.id}.tasks.task.created.t1.color.red", {"n": 1})
        [event_id] = await broker.append([(org, event)])
        [found] = (await read(broker, org)).events
        assert (found.id, found.type) == (event_id, "topic.event")
        assert found.data == json.loads(event)["data"]
        assert str(TopicEvent.read(found).topic) == f"events.{org.id}.tasks.task.created.t1.color.red"

    async def test_what_others_publish_is_an_event_whose_topic_is_its_subject(self, broker, client):
        org, rang = an_organisation(), []
        await broker.heads([org])  # our streams are there
        async with broker.doorbells() as listener:
            await listener.add(org)
            bells = aiter(listener)
            await anext(bells)
            subject = f"events.{org.id}.crm.record.updated.r1"
            await client.publish(subject, json.dumps({"amount": 5}).encode())
            rang.append(await anext(bells))
        assert rang == [org.name]
        [found] = (await read(broker, org)).events
        event = TopicEvent.read(found)
        assert str(event.topic) == subject
        assert found.data["event"]["payload"] == {"amount": 5}
        assert found.data["event"]["organizationId"] == org.id
        assert found.data["event"]["eventName"] == name_of(subject)
        assert found.data["event"]["timestamp"].endswith("Z")

    async def test_an_event_in_our_form_keeps_its_id_but_not_an_organisation_that_it_only_claims(self, broker, client):
        org = an_organisation()
        await broker.heads([org])
        claimed = {
            "id": "theirs-1",
            "organizationId": "org_other",
            "eventName": "a.b",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "payload": {"x": 1},
            "metadata": {"tags": ["t"]},
        }
        await client.publish(f"events.{org.id}.crm.record.updated.r1", json.dumps(claimed).encode())
        await client.flush()
        [found] = await until_read(broker, org, 1)
        event = found.data["event"]
        assert (event["id"], event["organizationId"], event["eventName"]) == ("theirs-1", org.id, name_of(found.data["topic"]))
        assert (event["payload"], event["metadata"]["tags"], event["timestamp"]) == ({"x": 1}, ["t"], claimed["timestamp"])

    @pytest.mark.parametrize("payload", [b"", b"no json", b"\xff\xfe", b"[1,2]", b'{"payload":5,"eventName":1}', b"null", b"NaN"])
    async def test_any_payload_and_any_subject_can_be_read(self, broker, client, payload):
        org = an_organisation()
        await broker.heads([org])
        for subject in ("crm.record.updated.r1", "short", "with.a.strange.segment.ä!"):
            await client.publish(f"events.{org.id}.{subject}", payload)
        await client.flush()
        found = await until_read(broker, org, 3)
        assert [TopicEvent.read(event) is not None for event in found] == [True, False, False]

    async def test_organisations_are_apart(self, broker):
        one, two = an_organisation(), an_organisation()
        await broker.append(
            [(one, topic_event(f"events.{one.id}.a.b.c.d", {})), (two, topic_event(f"events.{two.id}.a.b.c.d", {}))]
        )
        assert len((await read(broker, one)).events) == len((await read(broker, two)).events) == 1

    async def test_a_place_in_the_topics_is_a_cursor_until_something_after_it_is_removed(self, broker, settings):
        settings.NATS_TOPICS_MAX = 20
        quiet, busy = an_organisation(), an_organisation()
        assert (await read(broker, quiet)).continuous
        await broker.append([(busy, topic_event(f"events.{busy.id}.a.b.c.d", {"n": n})) for n in range(10)])
        [place] = await broker.heads([quiet])
        assert place > START
        assert (await read(broker, quiet, place)).continuous
        await broker.append([(quiet, topic_event(f"events.{quiet.id}.a.b.c.d", {}))])
        reading = await read(broker, quiet, place)
        assert (reading.continuous, len(reading.events)) == (True, 1)
        assert (await read(broker, quiet, START)).continuous
        ids = await broker.append([(busy, topic_event(f"events.{busy.id}.a.b.c.d", {"n": n})) for n in range(30)])
        gone = await read(broker, quiet, place)
        assert (gone.continuous, gone.events) == (False, [])
        assert not (await read(broker, busy, START)).continuous
        assert not (await read(broker, busy, ids[0])).continuous
        assert (await read(broker, busy, ids[-5])).continuous
        assert not (await read(broker, busy, EventId(ids[-1].major, ids[-1].minor + 100))).continuous


async def until_read(broker, stream, count):
    async with asyncio.timeout(patiently(5)):
        while len(events := (await read(broker, stream)).events) < count:  # noqa: ASYNC110 - the publisher is another client
            await asyncio.sleep(0.01)
    return events


class TestLargeAndMany:
    async def test_what_is_too_large_for_one_message_goes_in_several(self, broker):
        stream = a_durable_stream()
        await broker.fence(stream, 1)
        large = [Event(EventId(n, 0), "test.note", {"n": n, "text": "x" * 60_000}, 1) for n in range(1, 31)]
        assert await broker.append_durable([DurableAppend(stream, 1, large)]) == [Appended.OK]
        assert (await read(broker, stream)).events == large
        assert await broker.seed(stream, 1, large) is Appended.OK
        assert (await read(broker, stream)).events == large
        assert await broker.append_durable([DurableAppend(stream, 1, [note(31)])]) == [Appended.OK]

    async def test_a_reader_pages_through_a_long_stream_and_finds_any_place_in_it(self, broker, nats_url):
        stream = a_durable_stream()
        await broker.fence(stream, 1)
        for n in range(0, 300, 3):
            await broker.append_durable([DurableAppend(stream, 1, notes(n + 1, n + 3))])
        fresh = NatsBroker(nats_url)
        for cursor in (0, 1, 149, 150, 298, 299, 300):
            found = []
            while page := (await read(fresh, stream, EventId(cursor + len(found), 0), limit=7)).events:
                found += page
            assert seqs(found) == list(range(cursor + 1, 301))
        await fresh.close()

    async def test_a_missing_beginning_is_not_continuous(self, broker, client):
        stream = a_durable_stream()
        await broker.fence(stream, 1)
        for n in range(1, 6):
            await broker.append_durable([DurableAppend(stream, 1, [note(n)])])
        name = stream_name(DURABLE, await broker.js.epoch(DURABLE))
        await client.jsm().purge_stream(name, subject=f"tl.durable.message.{stream.id}", keep=2)
        reading = await read(broker, stream, EventId(1, 0))
        assert (reading.continuous, reading.reason) == (False, "trimmed")
        assert (await read(broker, stream, EventId(3, 0))).continuous

    async def test_the_form_of_a_cursor_is_that_of_redis(self, broker):
        stream = a_backlog()
        ids = await broker.append([(stream, packed(n)) for n in range(3)])
        assert len({event_id.major for event_id in ids}) == 1
        assert 1_600_000_000_000 < ids[0].major < 10**13


class TestStandingStill:
    async def test_a_killed_server_goes_on_where_it_was(self, tmp_path):
        server = EmbeddedNats(tmp_path / "nats")
        broker = NatsBroker(server.start())
        backlog, durable, org = a_backlog(), a_durable_stream(), an_organisation()
        ids = await broker.append([(backlog, packed(n)) for n in range(5)])
        await broker.fence(durable, 1)
        await broker.append_durable([DurableAppend(durable, 1, notes(1, 3))])
        await broker.append([(org, topic_event(f"events.{org.id}.a.b.c.d", {}))])
        heard = []
        try:
            server.child.kill()
            with pytest.raises(BrokerUnavailable):
                await broker.append([(backlog, packed(99))])
            await asyncio.to_thread(server.start)
            assert [event.id for event in (await read(broker, backlog, ids[1])).events] == ids[2:]
            assert (await read(broker, durable)).events == notes(1, 3)
            assert len((await read(broker, org)).events) == 1
            async with broker.doorbells() as listener:
                await listener.add(backlog)
                bells = aiter(listener)
                await anext(bells)
                [after] = await broker.append([(backlog, packed(5))])
                heard.append(await anext(bells))
            assert after > ids[-1]
            assert await broker.append_durable([DurableAppend(durable, 1, notes(4, 4))]) == [Appended.OK]
            assert numbers((await read(broker, backlog)).events) == [0, 1, 2, 3, 4, 5]
            assert heard == [backlog.name]
        finally:
            await broker.close()
            server.stop()

    async def test_an_append_whose_answer_was_lost_is_not_there_twice(self, broker, nats_url):
        with Proxy("127.0.0.1", int(nats_url.rpartition(":")[2])) as proxy:
            mine = NatsBroker(nats_url.rpartition("@")[0] + f"@127.0.0.1:{proxy.port}")
            stream = a_durable_stream()
            await mine.fence(stream, 1)
            proxy.swallow_answer()
            with pytest.raises(BrokerUnavailable):
                await mine.append_durable([DurableAppend(stream, 1, notes(1, 3))])
            proxy.restore()
            assert await mine.append_durable([DurableAppend(stream, 1, notes(1, 5))]) == [Appended.OK]
            assert (await read(broker, stream)).events == notes(1, 5)
            await mine.close()

    async def test_of_two_writers_with_one_lease_nothing_is_doubled_or_mixed(self, broker, nats_url):
        other, stream = NatsBroker(nats_url), a_durable_stream()
        await broker.fence(stream, 1)
        await asyncio.gather(
            *(each.append_durable([DurableAppend(stream, 1, notes(1, n))]) for n in range(1, 7) for each in (broker, other))
        )
        assert (await read(broker, stream)).events == notes(1, 6)
        await other.close()

    async def test_limits_follow_the_settings(self, broker, client, settings, nats_url):
        await broker.append([(a_backlog(), packed(1))])
        settings.EVENTS_STREAM_MAXLEN, settings.EVENTS_REPLAY_MAX_AGE_HOURS = 40, 30
        later = NatsBroker(nats_url)
        await later.ping()
        found = {each.config.name: each.config for each in await client.jsm().streams_info()}
        config = found[stream_name(BACKLOG, await later.js.epoch(BACKLOG))]
        assert (config.max_msgs_per_subject, config.max_age) == (50, 30 * 3600)
        assert found[stream_name(TOPICS, await later.js.epoch(TOPICS))].max_age == 30 * 3600
        await later.close()


@pytest.mark.parametrize("make", [a_backlog, an_organisation])
async def test_who_has_not_heard_that_all_was_deleted_takes_nothing_new_for_what_was_there(broker, nats_url, make):
    """The places of messages begin anew: that of his cursor is another's now, at once."""
    other, stream = NatsBroker(nats_url), make()
    await broker.append([(stream, packed(n)) for n in range(5)])
    read_before = await read(other, stream)
    cursor = read_before.events[2].id
    await wipe_nats(nats_url)
    for _ in range(2):
        # The first of them may find that there is nothing to write to.
        with contextlib.suppress(BrokerUnavailable):
            await broker.append([(stream, packed(n)) for n in range(10, 20)])
    reading = await sooner_or_later(lambda: read(other, stream, cursor))
    assert not reading.continuous
    assert {event.id.major for event in reading.events} & {cursor.major} == set()
    [told] = await sooner_or_later(lambda: other.append([(stream, packed(20))]))
    assert told.major == reading.events[0].id.major
    assert (await sooner_or_later(lambda: other.heads([stream]))) == [told]
    await other.close()


@pytest.mark.parametrize("text", ["", "a.b", "*", ">", "a b", "ä", "user_1-X", "~", "%2E"])
def test_any_text_is_one_word_of_a_subject(text):
    assert token(text)
    assert not set(token(text)) & set(".*> ~")


def test_different_texts_are_different_words():
    texts = ["a.b", "a%2Eb", "a_b", "a~b", "", "%", "A"]
    assert len({token(text) for text in texts}) == len(texts)
