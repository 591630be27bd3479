"""`manage.py check_stack`, with real stores in every state that it tells apart."""

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone

from chat.models import Worker
from events.broker.base import BrokerFacts
from events.models import OutboxEvent
from realtime_project import stack
from tests.proxies import Proxy

NAMES = ["database", "migrations", "worker", "outbox", "broker", "persistence", "memory", "round trip"]
GOOD = BrokerFacts(
    name="Valkey",
    version="9.1.2",
    needs="",
    appends=True,
    write_errors=[],
    loading=False,
    eviction="noeviction",
    used_bytes=2**20,
    most_bytes=2**30,
)


@pytest.fixture
def valkey(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)


@pytest.fixture
def database(transactional_db):
    """Tables, for all threads, and a worker that lives."""
    Worker.objects.create(name="w1", beat_at=timezone.now())


def told():
    """The lines of the command by name, and its exit code."""
    out, code = StringIO(), 0
    try:
        call_command("check_stack", json=True, stdout=out)
    except SystemExit as error:
        code = error.code
    said = json.loads(out.getvalue())
    assert said["ok"] == (code == 0)
    assert [check["name"] for check in said["checks"]] == NAMES
    return {check["name"]: (check["ok"], check["says"]) for check in said["checks"]}, code


def failed(checks):
    return {name for name, (ok, _) in checks.items() if not ok} - {"persistence"}


def test_what_is_well_is_said_line_by_line(database, valkey):
    out = StringIO()
    try:
        call_command("check_stack", stdout=out)
    except SystemExit:
        assert "FAIL  persistence" in out.getvalue(), "the Valkey of tests may keep nothing; all else is well"
    lines = out.getvalue().splitlines()
    assert [line[6:17].strip() for line in lines] == NAMES
    assert {line[:6].strip() for line in lines if "persistence" not in line} == {"ok"}


def test_a_worker_that_is_silent_is_dead(database, valkey):
    Worker.objects.update(beat_at=timezone.now() - timedelta(hours=1))
    checks, code = told()
    assert (failed(checks), code) == ({"worker"}, 1)
    assert "procrastinate worker" in checks["worker"][1]


def test_an_event_that_waits_for_long_is_told(database, valkey):
    waiting = OutboxEvent.objects.create(stream="user:u", type="a.b", data={})
    assert failed(told()[0]) == set()
    OutboxEvent.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(seconds=60))
    checks, code = told()
    assert (failed(checks), code) == ({"outbox"}, 1)
    assert "1 events wait, the oldest for 60 s" in checks["outbox"][1]


def test_a_broker_that_evicts_is_told(database, valkey):
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    checks, code = told()
    assert (failed(checks), code) == ({"memory"}, 1)
    assert "allkeys-lru" in checks["memory"][1]


def test_a_broker_that_is_away_is_named_without_its_password(database, valkey, redis_url, settings):
    parts = urlsplit(redis_url)
    with Proxy(parts.hostname, parts.port or 6379) as proxy:
        settings.REDIS_URL = urlunsplit(parts._replace(netloc=f":s3cret@127.0.0.1:{proxy.port}"))
        proxy.cut()
        checks, code = told()
    assert (failed(checks) | {"persistence"}, code) == ({"broker", "persistence", "memory", "round trip"}, 1)
    assert "REDIS_URL" in checks["broker"][1]
    assert "s3cret" not in str(checks)


def test_a_database_that_is_away_is_named_without_its_password(valkey, settings):
    settings.DATABASE_URL = "postgres://user:s3cret@127.0.0.1:1/x"
    checks, code = told()
    assert (failed(checks), code) == ({"database", "migrations", "worker", "outbox"}, 1)
    assert "cannot be reached" in checks["database"][1]
    assert "s3cret" not in str(checks)


def test_without_push_nothing_is_published(database, valkey, settings):
    settings.ENABLE_SSE_PUSH = False
    checks, _ = told()
    assert checks["round trip"] == (True, "Not examined: ENABLE_SSE_PUSH is off, publishers do nothing.")
    assert valkey.keys("tl:{user:check-stack*") == []


@pytest.mark.parametrize(
    ("check", "facts", "word"),
    [
        (lambda facts: stack._version(facts, 1), {"needs": "Redis 7 or newer is needed", "version": "6.2"}, "too old"),
        (stack._persistence, {"appends": False}, "appendonly"),
        (stack._persistence, {"loading": True}, "wait"),
        (stack._persistence, {"write_errors": ["aof_last_write_status"]}, "aof_last_write_status"),
        (stack._memory, {"eviction": "volatile-ttl"}, "noeviction"),
        (stack._memory, {"used_bytes": 2**30 - 1}, "raise maxmemory"),
    ],
)
def test_what_is_wrong_with_a_broker_is_told_with_what_to_do(check, facts, word):
    assert check(GOOD)[0]
    ok, says = check(replace(GOOD, **facts))
    assert not ok
    assert word in says
