import asyncio
import json

import pytest

from accounts import services
from events import external
from events.exceptions import BrokerUnavailable, InvalidRequest, NotFound, TooLarge
from events.publishing import _broker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_broker(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    _broker.cache_clear()
    yield
    _broker.cache_clear()


@pytest.fixture
def alice():
    return services.ensure_user(username="alice", password="correct horse battery").public_id


@pytest.fixture
def bob():
    return services.ensure_user(username="bob", password="correct horse battery").public_id


def item(**fields):
    return {"type": "test.note", "payload": {}, "scope": {}, "idempotency_key": ""} | fields


def stored(valkey, name):
    return [(raw.decode(), json.loads(fields[b"e"])["data"]) for raw, fields in valkey.xrange(f"tl:{{{name}}}")]


def test_events_get_ids_in_their_order_and_keep_scope_and_payload(valkey, alice, bob):
    scope = {"kind": "source", "id": "s"}
    ids = external.publish_all(
        items=[item(user=alice, payload={"n": 1}, scope=scope), item(user=bob), item(stream=f"user:{alice}")]
    )
    assert stored(valkey, f"user:{alice}") == [
        (ids[0], {"scope": scope, "payload": {"n": 1}}),
        (ids[2], {"scope": {}, "payload": {}}),
    ]
    assert stored(valkey, f"user:{bob}") == [(ids[1], {"scope": {}, "payload": {}})]


@pytest.mark.parametrize("stream", ["org:o_1", "workspace:w_1"])
def test_streams_that_are_no_users_may_be_written(valkey, stream):
    [event_id] = external.publish_all(items=[item(stream=stream)])
    assert [found for found, _ in stored(valkey, stream)] == [event_id]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"user": "user_nobody"}, NotFound),
        ({"stream": "user:nobody"}, NotFound),
        ({"stream": "message:5f3c"}, InvalidRequest),
        ({"stream": "nonsense"}, InvalidRequest),
        ({"stream": "unheard:of"}, InvalidRequest),
        ({"stream": "org:o_1", "payload": {"text": "x" * 70_000}}, TooLarge),
    ],
)
def test_one_that_is_wrong_keeps_all_from_being_published(valkey, alice, wrong, error):
    with pytest.raises(error):
        external.publish_all(items=[item(user=alice), item(user=alice, idempotency_key="k"), item(**wrong)])
    assert valkey.keys("tl:*") == []


def test_the_same_key_is_the_same_event_for_so_long_and_for_that_stream(valkey, alice, bob, settings):
    settings.EVENTS_PUBLISH_ONCE_SECONDS = 1
    keyed = item(user=alice, idempotency_key="order 17 \ud800")
    [first] = external.publish_all(items=[keyed])
    assert external.publish_all(items=[keyed, keyed]) == [first, first]
    [other] = external.publish_all(items=[keyed | {"user": bob}])
    assert [found for found, _ in stored(valkey, f"user:{bob}")] == [other]
    assert len(stored(valkey, f"user:{alice}")) == 1
    [key] = [key for key in valkey.keys("tl:*:once:*") if alice.encode() in key]
    assert 0 < valkey.pttl(key) <= 1000


async def test_the_same_key_from_many_threads_at_once_is_one_event(valkey, alice):
    keyed = item(user=alice, idempotency_key="k")
    answers = await asyncio.gather(*(asyncio.to_thread(external.publish_all, items=[keyed]) for _ in range(20)))
    assert len({event_id for [event_id] in answers}) == 1
    assert len(stored(valkey, f"user:{alice}")) == 1


def test_a_sender_that_heard_no_answer_may_say_it_again(valkey_proxy, valkey, alice):
    keyed = item(user=alice, idempotency_key="k")
    external.publish_all(items=[item(user=alice)])
    external.publish_all(items=[item(user=alice, idempotency_key="warm")])
    valkey_proxy.swallow_answer()
    with pytest.raises(BrokerUnavailable):
        external.publish_all(items=[keyed])
    valkey_proxy.restore()
    [event_id] = external.publish_all(items=[keyed])
    assert [found for found, _ in stored(valkey, f"user:{alice}")][2:] == [event_id]


def test_without_push_there_are_no_ids(valkey, alice, settings):
    settings.ENABLE_SSE_PUSH = False
    assert external.publish_all(items=[item(user=alice), item(user=alice, idempotency_key="k")]) == [None, None]
    assert valkey.keys("tl:*") == []
