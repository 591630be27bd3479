"""What the tests of chat share: people, questions, runs that are driven here, and empty stores."""

import asyncio
import json
import time

import pytest
import redis
from django.db import connection

from accounts import services as accounts
from accounts.caller import Caller
from accounts.recent import recent_callers
from accounts.threads import in_thread
from chat.models import Run
from chat.runner import Runner, use_runner
from chat.services import questions
from chat.services.questions import Question, message_stream
from events import journal
from events.broker.connect import connect
from events.event import START, compact
from events.hub import close_hub
from tests.chat.asgi import Client
from tests.patience import patiently


@pytest.fixture
def stores(transactional_db, redis_url, settings):
    """Postgres and Valkey for all threads, empty."""
    settings.CHAT_ENGINE = "scripted"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    with connection.cursor() as cursor:
        # Not Django's tables: its flush leaves them alone.
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")


@pytest.fixture
def organization(stores):
    return accounts.ensure_organization(public_id="org_tests", name="Tests")


def _person(name, organization=None):
    user = accounts.ensure_user(username=name, password=name, public_id=f"user_{name}", organization=organization)
    organizations = (organization.public_id,) if organization else ()
    return Caller(user.pk, user.public_id, name, organizations, is_staff=False, credential="jwt")


@pytest.fixture
def alice(organization):
    return _person("alice", organization)


@pytest.fixture
def bob(stores):
    return _person("bob")


@pytest.fixture
def alice_client(alice):
    return Client(token=_token(alice))


@pytest.fixture
def bob_client(bob):
    return Client(token=_token(bob))


def _token(caller):
    from accounts.models import User

    return accounts.access_token_for(user=User.objects.get(pk=caller.pk))


def script(*steps):
    """A question that the scripted engine plays."""
    return "!script " + json.dumps(steps)


def ask(caller, text="hello", **fields):
    """An accepted question's answer, still to be made."""
    return questions.ask(caller=caller, question=Question(text, **fields))


async def asked(caller, *steps, **fields):
    """`ask` with a script, from the event loop."""
    return await in_thread(ask, caller, script(*steps), **fields)


def run_of(message):
    """The run as the database has it now."""
    return Run.objects.select_related("message").get(pk=message.pk)


def journaled(message):
    """The whole journal of an answer, neighbouring text joined."""
    return compact(journal.read(message_stream(message.pk), START))


def types(events):
    return [str(event.type) for event in events]


def texts(events, family="text"):
    return "".join(event.data["text"] for event in events if event.type == f"{family}.delta")


async def until(condition, *, seconds=15):
    """Waits until `condition()` (sync, in a thread) is true, and returns what it said."""
    end = time.monotonic() + patiently(seconds)
    while not (found := await in_thread(condition)):
        assert time.monotonic() < end, f"{condition} did not become true within {seconds} s"
        await asyncio.sleep(0.01)
    return found


async def ended(message):
    """The run once it has ended."""
    return await until(lambda: (run := run_of(message)).status not in Run.OPEN and run)


@pytest.fixture
async def broker(stores):
    broker = connect()
    yield broker
    await broker.close()


@pytest.fixture
async def runner(stores):
    """A worker's runner, in this event loop, that is given its runs by the tests."""
    runner = Runner()
    await runner.start()
    use_runner(runner)
    yield runner
    use_runner(None)
    if not runner.closing:
        await runner.close()


@pytest.fixture
async def hub_closed(stores):
    """For tests that open streams: their hub ends with the event loop."""
    yield
    await close_hub()


async def answered(runner, message):
    """Has the runner make an answer; its run once it has ended, and its journal."""
    await runner.answer(message.pk)
    run = await ended(message)
    return run, await in_thread(journaled, message)
