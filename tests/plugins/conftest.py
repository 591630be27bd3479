"""What the tests of plugins share: people, a stub of other people's servers, and a worker's part."""

import asyncio
import json

import pytest
import redis

from accounts import services as accounts
from accounts.models import User
from accounts.recent import recent_callers
from plugins.connecting import go_on
from plugins.models import Connection
from tests.knowledge.conftest import told
from tests.plugins.stub import Stub


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.PLUGINS_ALLOW_PRIVATE_ADDRESSES = True
    settings.PLUGINS_TIMEOUT_SECONDS = 5.0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def stub():
    with Stub() as running:
        yield running


@pytest.fixture
def people(transactional_db):
    return {name: accounts.ensure_user(username=name, password="x") for name in ("alice", "bob")}


@pytest.fixture
def feed(redis_url, people):
    """What alice was told so far: (type, data) pairs."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield lambda: told(client, people["alice"].public_id)


@pytest.fixture
def api(people, client):
    """Calls the API as alice, or as another: (status, body)."""

    def call(method, path, body=None, *, user="alice"):
        token = accounts.access_token_for(user=User.objects.get(username=user))
        options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(client, method)(path, headers={"Authorization": f"Bearer {token}"}, **options)
        return response.status_code, response.json() if response.content else None

    return call


def work_off():
    """Does the next step of every queued connection, as a worker would."""
    for pk in list(Connection.objects.filter(status=Connection.Status.QUEUED).values_list("pk", flat=True)):
        asyncio.run(go_on(pk))


@pytest.fixture
def begun(api, feed):
    """Begins a connection and does a worker's first step: (its id, the last event's payload)."""

    def begin(url, **fields):
        status, made = api("post", "/api/v1/connections", {"name": "Files", "server_url": url} | fields)
        assert status == 202, made
        assert {"id", "task_id", "status"} <= made.keys()
        work_off()
        return made["id"], last(feed)

    return begin


def last(feed):
    """The last event, as its type's last word and its payload."""
    type_, data = feed()[-1]
    return type_.rpartition(".")[2], data["payload"]
