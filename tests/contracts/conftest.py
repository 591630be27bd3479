"""Each test of this folder runs on every store that the product knows."""

from urllib.parse import urlsplit

import pytest
import redis

from events.broker.nats import NatsBroker
from events.broker.redis import RedisBroker
from tests.clusters import ValkeyCluster
from tests.events.conftest import _event_types  # noqa: F401 - the types of events that the tests append
from tests.proxies import Proxy, through
from tests.wiping import wipe_nats


class RedisStore:
    module = "events.broker.redis_server"

    def __init__(self, url):
        self.url = url

    def broker(self, url=None):
        return RedisBroker(url or self.url)

    async def wipe(self):
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


class ClusterStore:
    """Three servers of Redis that share the slots. Its addresses are its own: no proxy stands before them."""

    module = "events.broker.redis_server"

    def __init__(self, cluster):
        self.cluster = cluster
        self.url = f"redis://127.0.0.1:{cluster.ports[0]}/0"

    def broker(self, url=None):
        if url:
            pytest.skip(
                "a cluster tells its own addresses, which no proxy has; tests/events/broker/test_redis_cluster.py kills servers"
            )
        return RedisBroker(self.url, is_cluster=True)

    async def wipe(self):
        self.cluster.wipe()


class NatsStore:
    module = "events.broker.nats_link"

    def __init__(self, url):
        self.url = url

    def broker(self, url=None):
        return NatsBroker(url or self.url)

    async def wipe(self):
        await wipe_nats(self.url)


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory):
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


STORES = {"redis": ("redis_url", RedisStore), "redis cluster": ("redis_cluster", ClusterStore), "nats": ("nats_url", NatsStore)}


@pytest.fixture(params=list(STORES))
async def store(request):
    """A store, emptied. `store.proxy` stands before it: brokers of `proxied` use it."""
    fixture, kind = STORES[request.param]
    store = kind(request.getfixturevalue(fixture))
    await store.wipe()
    parts = urlsplit(store.url)
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
