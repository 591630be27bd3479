"""What the tests of notifications share: people, their feeds, and the API as one of them."""

import json

import pytest
import redis

from accounts import services as accounts
from accounts.caller import Caller
from accounts.models import User
from accounts.recent import recent_callers
from notifications.services import notify
from tests.knowledge.conftest import told

ROOT = "/api/v1/notifications"


@pytest.fixture(autouse=True)
def people(transactional_db, settings):
    """alice and bob, and ops of the staff, by name."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    return {
        name: accounts.ensure_user(username=name, password="x", public_id=f"user_{name}", is_staff=name == "ops")
        for name in ("alice", "bob", "ops")
    }


@pytest.fixture
def feed(redis_url):
    """What someone was told so far: `feed(name)` gives (type, data) pairs."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield lambda name="alice": told(client, f"user_{name}")


@pytest.fixture
def api(client):
    """Calls the API as alice, or as another: (status, body)."""

    def call(method, path="", body=None, *, user="alice"):
        token = accounts.access_token_for(user=User.objects.get(username=user))
        options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(client, method)(
            path if path.startswith("/api/") else f"{ROOT}{path}", headers={"Authorization": f"Bearer {token}"}, **options
        )
        return response.status_code, response.json() if response.content else None

    return call


def caller_of(user):
    return Caller(user.pk, user.public_id, user.username, (), user.is_staff, "jwt")


def tell(user, *titles, **fields):
    """Notifies a user of each, one after the other; the ids."""
    return [notify(users=[user], title=title, **fields)[0].pk for title in titles]
