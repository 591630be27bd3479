"""Alice of `org_a`, and what reads her topics."""

import pytest

from tests.events.topics import asking as topics
from tests.events.topics.reading import Reader


@pytest.fixture
def caller(settings, valkey):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return topics.caller_for(topics.user("alice", "org_a"))


@pytest.fixture
async def reader(hub, caller):
    made = Reader(hub, caller)
    yield made
    await made.close()
