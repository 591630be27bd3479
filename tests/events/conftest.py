"""What the tests of the engine share: an empty Valkey, the journal, a hub, event types, and stores that can go away."""

import asyncio
import os
import time
import uuid
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection

from events import journal
from events.broker.nats import NatsBroker
from events.broker.redis import RedisBroker
from events.event import EVENT_TYPES, Event, EventId, EventType, pack
from events.exceptions import BrokerUnavailable
from events.hub import close_hub, current_hub
from events.streams import Stream
from tests.patience import patiently
from tests.proxies import Proxy, through
from tests.wiping import wipe_nats_now

BROKER = os.environ.get("EVENT_BROKER", "redis")

NOTE = EventType("test.note", "Something happened: `n`.")
DELTA = EventType("test.delta", "Text: `block`, `text`.", joined="text")
END = EventType("test.end", "The last event.", terminal=True)


@pytest.fixture(autouse=True)
def _event_types(monkeypatch):
    for each in (NOTE, DELTA, END):
        monkeypatch.setitem(EVENT_TYPES, each.name, each)


class WipedNats:
    """Stands for the client of a Valkey where the broker is a NATS: it can be emptied; who looks into Redis is skipped."""

    def __init__(self, url):
        self._url = url

    def flushall(self):
        wipe_nats_now(self._url)

    def __getattr__(self, name):
        pytest.skip(f"looks into Redis: {name}")


@pytest.fixture
def valkey(redis_url, request):
    """A plain client of the Valkey, emptied before the test."""
    if BROKER == "nats":
        client = WipedNats(request.getfixturevalue("nats_url"))
        client.flushall()
        yield client
        return
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


def pytest_collection_modifyitems(items):
    """Empties only the engine's tables after a test of the journal: those of all apps take ten times as long."""
    for item in items:
        if "journal_db" in getattr(item, "fixturenames", ()) and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["events"]))


@pytest.fixture
def journal_db(transactional_db):
    """The journal, for all threads."""


@pytest.fixture
async def broker(valkey, request):
    url = request.getfixturevalue(f"{BROKER}_url")  # not through the proxy
    broker = NatsBroker(url) if BROKER == "nats" else RedisBroker(url)
    yield broker
    await broker.close()


@pytest.fixture
async def hub(valkey):
    yield current_hub()
    await close_hub()


@pytest.fixture
def valkey_proxy(valkey, request, settings):
    """The broker's store through a proxy that can be cut; brokers made by `connect` use it."""
    url = request.getfixturevalue(f"{BROKER}_url")
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port or 6379) as proxy:
        setattr(settings, f"{BROKER.upper()}_URL", through(proxy, url))
        yield proxy


@pytest.fixture
def postgres_proxy(journal_db):
    """The Postgres through a proxy that can be cut, for all threads of this process."""
    stored = {key: connection.settings_dict[key] for key in ("HOST", "PORT", "OPTIONS")}
    # Whoever asks for a connection in vain gets an answer soon.
    options = stored["OPTIONS"] | {"pool": stored["OPTIONS"]["pool"] | {"timeout": 0.3}}
    with Proxy(stored["HOST"] or "127.0.0.1", int(stored["PORT"] or 5432)) as proxy:
        _use_postgres(HOST="127.0.0.1", PORT=proxy.port, OPTIONS=options)
        try:
            yield proxy
        finally:
            proxy.restore()
            _use_postgres(**stored)


def _use_postgres(**address):
    # Every thread's connection shares the settings and the pool. The settings first: a thread that is still at work
    # makes the next pool as soon as this one is closed.
    connection.settings_dict.update(address)
    connection.close()
    connection.close_pool()


def a_backlog():
    """A backlog stream that no other test uses."""
    return Stream("user", uuid.uuid4().hex)


def a_durable_stream():
    """The name of a durable stream that no other test uses."""
    return Stream("message", str(uuid.uuid4()))


def note(n, *, at=1_700_000_000_000):
    """Event number `n` of a durable stream."""
    return Event(EventId(n, 0), NOTE.name, {"n": n}, at)


def delta(n, text, *, block=0):
    return Event(EventId(n, 0), DELTA.name, {"block": block, "text": text}, 1_700_000_000_000)


def end(n):
    return Event(EventId(n, 0), END.name, {}, 1_700_000_000_000)


def notes(first, last):
    return [note(n) for n in range(first, last + 1)]


def packed(n):
    """Note number `n`, ready to be appended to a backlog."""
    return pack(NOTE.name, {"n": n}, 1_700_000_000_000)


def numbers(events):
    """Which notes these are."""
    return [event.data["n"] for event in events]


def seqs(events):
    """Places in a durable stream."""
    return [event.id.major for event in events]


def begin(stream, *, events=()):
    """Makes the stream's journal and takes its first lease, from synchronous code."""
    journal.create(stream=stream, events=events)
    return journal.take_lease(stream=stream)


async def sooner_or_later(call, *, seconds=30):
    """What a call gives, made again while the broker is away."""
    deadline = time.monotonic() + patiently(seconds)
    while True:
        try:
            return await call()
        except BrokerUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def until(condition, *, seconds=10):
    """Waits until `condition()` holds, and returns what it returned; fails after `seconds`."""
    async with asyncio.timeout(patiently(seconds)):
        while not (value := condition()):  # noqa: ASYNC110 - the things waited for are of many kinds
            await asyncio.sleep(0.005)
    return value
