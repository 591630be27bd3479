"""Each test of this folder runs on every store that the product knows."""

from urllib.parse import urlsplit

import pytest
import redis

from events.broker.nats import NatsBroker
from events.broker.redis import RedisBroker
from tests.events.conftest import _event_types  # noqa: F401 - the types of events that the tests append
from tests.proxies import Proxy, through
from tests.wiping import wipe_nats


class RedisStore:
    module = "events.broker.redis"

    def __init__(self, url):
        self.url = url

    def broker(self, url=None):
        return RedisBroker(url or self.url)

    async def wipe(self):
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


class NatsStore:
    module = "events.broker.nats_link"

    def __init__(self, url):
        self.url = url

    def broker(self, url=None):
        return NatsBroker(url or self.url)

    async def wipe(self):
        await wipe_nats(self.url)


@pytest.fixture(params=["redis", "nats"])
async def store(request):
    """A store, emptied. `store.proxy` stands before it: brokers of `proxied` use it."""
    url = request.getfixturevalue(f"{request.param}_url")
    store = RedisStore(url) if request.param == "redis" else NatsStore(url)
    await store.wipe()
    parts = urlsplit(url)
    with Proxy(parts.hostname, parts.port) as store.proxy:
        yield store


@pytest.fixture
async def broker(store):
    broker = store.broker()
    yield broker
    await broker.close()


@pytest.fixture
async def proxied(store):
    broker = store.broker(through(store.proxy, store.url))
    yield broker
    store.proxy.restore()
    await broker.close()
