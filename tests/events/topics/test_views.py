"""`GET /api/topics` and `POST /api/v1/topics/publish`."""

import json

import pytest
from django.test import Client

from accounts import services
from accounts.models import Membership
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.asgi import StreamingASGIHandler
from events.exceptions import BrokerUnavailable, Forbidden
from events.topics import access as topic_access
from events.topics.frames import Refusal
from events.topics.views import refusal_of_all
from tests.events.asgi import Exchange, frames
from tests.events.conftest import until
from tests.events.topics import asking as topics
from tests.events.topics.asking import ns, publish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore:No directory at")]

ALL = "events.org_a.tasks.task.completed.*"
ONE = "events.org_a.tasks.task.completed.t1"
URL = "/api/v1/topics/publish"


@pytest.fixture(autouse=True)
def _web(settings, valkey):
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def alice():
    return topics.user("alice", "org_a")


@pytest.fixture
async def listen(hub, alice):
    handler = StreamingASGIHandler()
    opened = []

    async def start(*patterns, cursor=None, user=alice):
        token = await in_thread(services.access_token_for, user=user)
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": cursor} if cursor is not None else {})
        query = "&".join(f"topic={each}" for each in patterns)
        opened.append(Exchange(handler, "/api/topics", headers=headers, query=query))
        return opened[-1]

    yield start
    for each in opened:
        if not each.task.done():
            await each.leave()


def told(exchange):
    return [json.loads(data) for _, data, _ in frames(exchange.body)]


def last_id(exchange):
    return frames(exchange.body)[-1][2]


# The event stream.


async def test_the_stream_begins_with_what_is_in_force_and_a_cursor_so_that_nothing_after_it_is_missed(listen):
    exchange = await listen(ALL)
    await exchange.has(b"subscribed")
    assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert told(exchange) == [{"type": "subscribed", "topics": [ALL], "cursor": "0-0", "recovered": False}]
    await exchange.leave()
    await publish(ONE, 1)
    again = await listen(ALL, cursor=last_id(exchange))
    await until(lambda: ns(told(again)) == [1])
    [cursor] = await publish(ONE, 2)
    await until(lambda: ns(told(again)) == [1, 2])
    assert last_id(again) == cursor
    assert told(again)[-1]["topic"] == ONE


async def test_a_cursor_of_the_socket_is_one_of_the_stream(listen):
    ids = await publish(ONE, 1, 2, 3)
    exchange = await listen(ALL, cursor=ids[0])
    await until(lambda: ns(told(exchange)) == [2, 3])


async def test_a_refused_pattern_is_told_without_an_id_and_the_others_run(listen):
    exchange = await listen(ALL, "events.org_b.tasks.task.completed.*", "nonsense")
    await exchange.has(b"nonsense")
    errors = [(json.loads(data), name, each_id) for name, data, each_id in frames(exchange.body) if name == "error"]
    assert [error["topics"] for error, *_ in errors] == [["nonsense"], ["events.org_b.tasks.task.completed.*"]]
    assert b"event: error\ndata: " in exchange.body
    await publish(ONE, 1)
    await until(lambda: ns(told(exchange)) == [1])


@pytest.mark.parametrize(("pattern", "status"), [("nonsense", 400), ("events.org_b.tasks.task.completed.*", 403)])
async def test_where_nothing_is_in_force_the_answer_says_so_with_its_status(listen, pattern, status):
    exchange = await (await listen(pattern)).over()
    assert exchange.status == status


def test_where_a_store_is_away_there_is_no_stream_of_the_rest_whose_cursor_would_not_name_what_it_keeps():
    foreign, away = Refusal(("a",), Forbidden("Not yours.")), Refusal(("b",), BrokerUnavailable())
    assert refusal_of_all(["c"], [foreign]) is None
    assert refusal_of_all(["c"], [foreign, away]) is away.error
    assert refusal_of_all([], [foreign, away]) is foreign.error


async def test_without_topics_it_says_how_to_name_them(listen):
    exchange = await (await listen()).over()
    assert exchange.status == 400
    assert b"topic=events" in exchange.body


async def test_without_credentials_nothing_is_told(hub):
    exchange = await Exchange(StreamingASGIHandler(), "/api/topics", query=f"topic={ALL}").over()
    assert exchange.status == 401


async def test_a_long_history_comes_in_pages_that_end_cleanly_and_follow_each_other(listen, settings):
    settings.EVENTS_REPLAY_MAX_PER_REQUEST = 10
    for n in range(25):
        await publish(ONE, n)
        await publish("events.org_a.tasks.task.failed.t", n)
    cursor, heard = "0-0", []
    for _ in range(2):
        exchange = await (await listen(ALL, cursor=cursor)).over()
        assert exchange.ended
        assert len(ns(told(exchange))) == 10
        heard += ns(told(exchange))
        cursor = last_id(exchange)
    last = await listen(ALL, cursor=cursor)
    await until(lambda: len(ns(told(last))) == 5)
    await publish(ONE, 25)
    await until(lambda: len(ns(told(last))) == 6)
    assert heard + ns(told(last)) == list(range(26))


async def test_a_lost_cursor_is_told_without_an_id(listen):
    await publish(ONE, 1)
    exchange = await listen(ALL, cursor="17-3")
    await until(lambda: ns(told(exchange)) == [1])
    notice = next(each for each in told(exchange) if each["type"] == "backlog.truncated")
    assert notice["organizationId"] == "org_a"
    assert exchange.body.count(b"id: ") == 2  # of `subscribed` and of the event


async def test_looking_at_the_credential_more_often_than_signs_of_life_are_due_does_not_keep_them_back(listen, settings):
    settings.SSE_KEEPALIVE_SECONDS = 0.4
    settings.CALLER_CACHE_SECONDS = 0.0
    settings.AUTH_RECHECK_SECONDS = 0.1
    exchange = await listen(ALL)
    await exchange.has(b"subscribed")
    await exchange.has(b"\n:\n:\n")


async def test_a_quiet_stream_gives_signs_of_life(listen, settings):
    settings.SSE_KEEPALIVE_SECONDS = 0.05
    exchange = await listen(ALL)
    await exchange.has(b"\n:\n:\n")


async def test_who_is_put_out_is_told_and_hears_no_more(listen, alice, settings):
    settings.AUTH_RECHECK_SECONDS = 0.1
    exchange = await listen(ALL)
    await exchange.has(b"subscribed")
    await in_thread(lambda: [each.delete() for each in Membership.objects.filter(user=alice)])
    await exchange.has(b"event: error")
    await publish(ONE, 1)
    await exchange.leave()
    assert ns(told(exchange)) == []


# Publishing.


def post(user, body, *, key=False):
    secret = services.issue_api_key(user_pk=user.pk, name="k").key if key else services.access_token_for(user=user)
    text = body if isinstance(body, str) else json.dumps(body)
    return Client().post(URL, data=text, content_type="application/json", headers={"Authorization": f"Bearer {secret}"})


OWN = "events.org_a.custom.thing.done.x1"


@pytest.fixture
def entries(valkey):
    return lambda organization="org_a": valkey.xlen(f"tl:{{org:{organization}}}")


def test_one_event_is_published_and_named(alice, entries):
    answer = post(alice, {"topic": OWN, "payload": {"a": 1}, "tags": ["t"]})
    assert answer.status_code == 202
    [result] = answer.json()["results"]
    assert result["topic"] == OWN
    assert result["id"].startswith("evt_")
    assert result["cursor"]
    assert entries() == 1


def test_a_topic_may_be_given_in_its_parts(alice):
    body = {"organization": "org_a", "source": "custom", "resource": "thing", "event": "done", "resource_id": "x1"}
    answer = post(alice, body | {"filters": {"b": "2", "a": "1"}})
    assert answer.json()["results"][0]["topic"] == f"{OWN}.a.1.b.2"


def test_the_same_key_publishes_once_and_gets_the_same_answer(alice, entries):
    body = [{"topic": OWN, "idempotency_key": "k1"}, {"topic": OWN}]
    first, second = post(alice, body).json()["results"], post(alice, body).json()["results"]
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert entries() == 3


def test_of_a_list_all_are_published_or_none_and_each_mistake_is_named(alice, entries):
    body = [{"topic": OWN}, {"topic": "events.org_a.custom"}, {"topic": OWN, "payload": []}, {}]
    answer = post(alice, body)
    assert answer.status_code == 422
    assert [each["loc"][1] for each in answer.json()["detail"]] == [1, 2, 3]
    assert entries() == 0


@pytest.mark.parametrize("body", [[], [{"topic": OWN}] * 101, "nonsense", 3])
def test_a_body_that_is_no_list_of_events_is_refused(alice, body):
    assert post(alice, body).status_code in {400, 422}


def test_an_event_that_is_too_large_is_refused_with_413_and_a_body_too(alice, entries):
    assert post(alice, {"topic": OWN, "payload": {"a": "x" * 70_000}}).status_code == 413
    assert post(alice, {"topic": OWN, "payload": {"a": "x" * 1_100_000}}).status_code == 413
    assert entries() == 0


@pytest.mark.parametrize(
    ("topic", "staff", "key", "status"),
    [
        (OWN, False, False, 202),
        ("events.org_b.custom.thing.done.x", False, False, 403),
        ("events.org_b.custom.thing.done.x", False, True, 403),
        (ONE, False, False, 403),
        (ONE, False, True, 202),
        (ONE, True, False, 202),
        ("events.org_b.tasks.task.completed.x", True, False, 202),
        ("events.org_none.tasks.task.completed.x", True, False, 404),
    ],
)
def test_who_may_publish_what(topic, staff, key, status):
    topics.user("owner", "org_b")
    assert post(topics.user("alice", "org_a", staff=staff), {"topic": topic}, key=key).status_code == status


def test_who_may_not_see_a_resource_may_not_speak_in_its_name(alice, monkeypatch):
    monkeypatch.setitem(topic_access._rules, "custom", lambda caller, organization, ids: set())
    assert post(alice, {"topic": OWN}).status_code == 403
