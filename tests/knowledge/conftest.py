"""What the tests of knowledge share: people, and documents that were really taken in."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from accounts import services as accounts
from accounts.caller import Caller
from knowledge import ingesting
from knowledge.models import Source
from knowledge.services import ingestions, sources
from knowledge.services.sources import NewSource
from tests.patience import patiently

CORPUS = Path(__file__).parent / "corpus"
QUESTIONS = json.loads((Path(__file__).parent / "questions.json").read_text())


@pytest.fixture(autouse=True)
def _quick(settings):
    """Most tests need no model; those that do ask for it. No slow password hashes."""
    settings.KNOWLEDGE_EMBEDDINGS = "hashing"
    settings.OPENAI_BASE_URL = settings.OPENAI_API_KEY = ""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def organization(transactional_db):
    return accounts.ensure_organization(public_id="org_tests", name="Tests")


@pytest.fixture
def alice(organization):
    return caller_for(accounts.ensure_user(username="alice", password="x", organization=organization), "org_tests")


@pytest.fixture
def bob(organization):
    """A colleague of alice's."""
    return caller_for(accounts.ensure_user(username="bob", password="x", organization=organization), "org_tests")


@pytest.fixture
def mallory(transactional_db):
    """A member of nothing."""
    return caller_for(accounts.ensure_user(username="mallory", password="x"))


@pytest.fixture
def feed(redis_url, alice):
    """What alice was told so far: a function that returns (type, data) pairs."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield lambda: told(client, alice.user_id)


def told(client, user_id):
    """Every event in the user's backlog, whatever the broker calls its key."""
    found = []
    for key in client.scan_iter(match=f"*user:{user_id}*", _type="stream"):
        for _, fields in client.xrange(key):
            for value in fields.values():
                try:
                    event = json.loads(value)
                except ValueError:
                    continue
                if isinstance(event, dict) and "type" in event:
                    found.append((event["type"], event["data"]))
    return found


def caller_for(user, *organizations):
    return Caller(
        pk=user.pk,
        user_id=user.public_id,
        username=user.username,
        organizations=tuple(organizations),
        is_staff=False,
        credential="jwt",
    )


def add_text(caller, text, *, name="notes", **fields):
    """A source with a text, still to be taken in."""
    new, data = sources.new_text(name=name, text=text, **fields)
    return sources.create(caller=caller, new=new, data=data)


def add_file(caller, name, data, **fields):
    """A source with a file, still to be taken in."""
    return sources.create(caller=caller, new=NewSource(name=name, file_name=name, **fields), data=[data])


def work_off():
    """Does every queued ingestion, as a worker would."""
    with ThreadPoolExecutor(1) as pool:
        while (claim := ingestions.claim(worker="test")) is not None:
            asyncio.run(ingesting.ingest(claim, pool))


def taken_in(source):
    """The source after its ingestion."""
    work_off()
    source = Source.objects.select_related("owner", "organization").get(pk=source.pk)
    assert source.status not in Source.OPEN
    return source


def ready(source):
    """The source after its ingestion, which must succeed."""
    source = taken_in(source)
    assert source.status == Source.Status.READY, source.error
    return source


def wait_for(condition, *, seconds=30.0):
    """Returns what `condition` returns once that is true; fails after `seconds`."""
    deadline = time.monotonic() + patiently(seconds)
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test of a real server shows what its processes wrote."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and stack is not None:
        report.sections.append(("logs of the server's processes", stack.logs()))
    return report
