"""What is asked of the database about a caller, while the caller's connection goes on changing."""

import asyncio
import math
import threading

import psycopg
import pytest
from django.db import connection

from events.event import Event, EventId
from events.topics import access as topic_access
from events.topics.access import Belonging, Sight
from events.topics.event import TOPIC_EVENT, TopicEvent, stored
from events.topics.grammar import parse_topic
from tests.events.conftest import until
from tests.events.topics import asking as topics

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def caller(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return topics.caller_for(topics.user("alice", "org_a", "org_b"))


def event_of(topic):
    data = stored(parse_topic(topic), id="evt_1", at=1_700_000_000, payload={})
    return TopicEvent.read(Event(EventId(1, 0), TOPIC_EVENT.name, data, 0))


async def test_what_is_forgotten_while_it_is_looked_up_does_not_end_the_connection(caller, monkeypatch):
    asked, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def rule(caller, organization, resource_ids):
        asked.release()
        assert go_on.acquire(timeout=20)
        return resource_ids

    for source in ("first", "second"):
        monkeypatch.setitem(topic_access._rules, source, rule)
    sight = Sight(caller)
    events = [event_of(f"events.org_a.{source}.thing.made.x") for source in ("first", "second")]
    filtering = asyncio.create_task(sight.filter(events))
    await until(lambda: asked.acquire(blocking=False))
    go_on.release()
    await until(lambda: asked.acquire(blocking=False))
    # One source is known, the other is being asked about; the caller's credential is looked at again.
    sight.forget()
    go_on.release()
    assert await filtering == events


@pytest.fixture
def members_locked():
    """The table of memberships, as a database that is slow to say anything of them."""
    settings = connection.get_connection_params()
    with psycopg.connect(
        host=settings["host"],
        port=settings["port"],
        user=settings["user"],
        password=settings.get("password"),
        dbname=settings["dbname"],
    ) as other:
        other.execute("LOCK TABLE accounts_membership IN ACCESS EXCLUSIVE MODE")
        yield other


async def answer_of(belonging, rung, among):
    await until(rung.is_set)
    return await belonging.news(among)


async def test_an_organisation_that_was_added_after_the_question_is_not_put_out_by_its_answer(caller, members_locked):
    rung = asyncio.Event()
    belonging = Belonging(caller, rung.set)
    belonging.ask_at(0.0)
    assert await belonging.news({"org_a"}) is None
    members_locked.rollback()
    assert await answer_of(belonging, rung, {"org_a", "org_b"}) == {"org_a", "org_b"}
    assert belonging.due < math.inf
    # And is asked about at once: nobody has said yet that it may be heard.
    assert await belonging.news({"org_a", "org_b", "org_c"}) == {"org_a", "org_b"}


async def test_an_answer_about_some_says_nothing_of_all(caller, members_locked):
    rung = asyncio.Event()
    belonging = Belonging(caller, rung.set)
    belonging.ask_at(0.0)
    assert await belonging.news({"org_a"}) is None
    members_locked.rollback()
    assert await answer_of(belonging, rung, None) is None
    assert await belonging.news(None) == {"org_a", "org_b"}
