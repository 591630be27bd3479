import asyncio
import json
from functools import partial

import pytest
from django.db import transaction

from accounts.threads import in_thread
from events import outbox
from events.event import START
from events.exceptions import BrokerUnavailable, InvalidRequest, TooLarge
from events.feed import Feed
from events.models import OutboxEvent
from events.outbox import Sender, publish_with_commit
from events.publishing import Publication, _broker
from tests.events.conftest import a_backlog, a_durable_stream, numbers, until
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_broker():
    _broker.cache_clear()
    yield
    _broker.cache_clear()


@pytest.fixture
async def sender(hub):
    running = asyncio.create_task(Sender().run_forever())
    await until(lambda: Sender.running)
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def note_with_commit(stream, n):
    with transaction.atomic():
        publish_with_commit(stream=stream, type="test.note", data={"n": n})


async def read_notes(feed, count):
    found = []
    async with asyncio.timeout(patiently(10)):
        while len(found) < count:
            found += numbers((await feed.next()).events)
    return found


def stored(valkey, stream):
    return [json.loads(fields[b"e"])["data"]["n"] for _, fields in valkey.xrange(f"tl:{{{stream.name}}}")]


def test_what_is_committed_is_sent_and_forgotten(valkey):
    stream = a_backlog()
    with transaction.atomic():
        for n in range(3):
            publish_with_commit(stream=stream, type="test.note", data={"n": n})
        assert stored(valkey, stream) == []
    assert stored(valkey, stream) == [0, 1, 2]
    assert not OutboxEvent.objects.exists()


def test_what_is_rolled_back_never_was(valkey):
    stream = a_backlog()
    with transaction.atomic():
        note_with_commit(stream, 1)
        transaction.set_rollback(True)
    assert outbox.send_all() == 0
    assert stored(valkey, stream) == []


def test_what_could_not_be_sent_waits_and_is_sent_later(valkey_proxy, valkey):
    stream = a_backlog()
    valkey_proxy.cut()
    note_with_commit(stream, 1)
    assert OutboxEvent.objects.count() == 1
    with pytest.raises(BrokerUnavailable):
        outbox.send_all()
    valkey_proxy.restore()
    assert outbox.send_all() == 1
    assert stored(valkey, stream) == [1]


def test_what_was_sent_though_nobody_heard_so_is_not_sent_again(valkey_proxy, valkey):
    stream = a_backlog()
    note_with_commit(stream, 0)
    valkey_proxy.swallow_answer()
    note_with_commit(stream, 1)
    assert stored(valkey, stream) == [0, 1]
    assert OutboxEvent.objects.count() == 1
    valkey_proxy.restore()
    assert outbox.send_all() == 1
    assert stored(valkey, stream) == [0, 1]


def test_an_event_that_can_never_be_sent_does_not_hold_up_the_others(valkey, settings, caplog):
    stream = a_backlog()
    for name, type_ in ((stream.name, "no type"), ("unheard:of", "test.note"), (a_durable_stream().name, "test.note")):
        OutboxEvent.objects.create(stream=name, type=type_, data={"n": 0})
    OutboxEvent.objects.create(stream=stream.name, type="test.note", data={"n": 1, "text": "x" * 2000})
    OutboxEvent.objects.create(stream=stream.name, type="test.note", data={"n": 2})
    settings.EVENT_MAX_BYTES = 1000
    assert outbox.send_all() == 5
    assert stored(valkey, stream) == [2]
    assert not OutboxEvent.objects.exists()
    assert caplog.text.count("can never be sent") == 4


def test_processes_that_send_at_once_send_each_event_once(valkey, django_db_blocker):
    stream = a_backlog()
    OutboxEvent.objects.bulk_create(
        OutboxEvent(stream=stream.name, type="test.note", data={"n": n}) for n in range(3 * outbox.BATCH)
    )

    async def all_at_once():
        return await asyncio.gather(*(in_thread(outbox.send_all) for _ in range(8)))

    sent = asyncio.run(all_at_once())
    while count := outbox.send_all():
        sent.append(count)
    assert sum(sent) == 3 * outbox.BATCH
    assert sorted(stored(valkey, stream)) == list(range(3 * outbox.BATCH))


@pytest.mark.parametrize(
    ("stream", "type_", "data", "error"),
    [
        (a_durable_stream(), "test.note", {}, InvalidRequest),
        (a_backlog(), "nonsense", {}, InvalidRequest),
        (a_backlog(), "test.note", {"text": "x" * 70_000}, TooLarge),
    ],
)
def test_what_can_never_be_sent_is_refused_before_it_is_committed(valkey, stream, type_, data, error):
    with pytest.raises(error):
        publish_with_commit(stream=stream, type=type_, data=data)
    assert not OutboxEvent.objects.exists()


def test_without_push_nothing_is_written(valkey, settings):
    settings.ENABLE_SSE_PUSH = False
    note_with_commit(a_backlog(), 1)
    assert not OutboxEvent.objects.exists()


async def test_a_process_with_an_event_loop_sends_at_once_without_waiting_for_the_sweep(hub, sender, monkeypatch):
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 60)
    stream = a_backlog()
    # It is asleep by now; only being woken brings the event.
    await asyncio.gather(*(in_thread(note_with_commit, stream, n) for n in range(5)))

    async with Feed(hub=hub, stream=stream, cursor=START) as feed:
        assert sorted(await read_notes(feed, 5)) == list(range(5))


async def test_what_a_dead_process_left_behind_is_swept(hub, sender, monkeypatch):
    monkeypatch.setattr(outbox, "SWEEP_SECONDS", 0.1)
    stream = a_backlog()
    await in_thread(partial(OutboxEvent.objects.create, stream=stream.name, type="test.note", data={"n": 1}))
    async with Feed(hub=hub, stream=stream, cursor=START) as feed:
        assert await read_notes(feed, 1) == [1]


def test_more_events_than_a_batch_holds_are_sent_at_once(valkey, monkeypatch):
    monkeypatch.setattr(outbox, "BATCH", 2)
    streams = [a_backlog() for _ in range(5)]
    with transaction.atomic():
        outbox.publish_all_with_commit([Publication(stream, "test.note", {"n": 7}) for stream in streams])
        outbox.publish_all_with_commit([])
    assert [stored(valkey, stream) for stream in streams] == [[7]] * 5
    assert not OutboxEvent.objects.exists()
