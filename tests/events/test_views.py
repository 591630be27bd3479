import json

import pytest

from accounts import services
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.asgi import StreamingASGIHandler
from events.event import EventId
from events.streams import Stream
from tests.events.asgi import Exchange, frames
from tests.events.conftest import packed, until

pytestmark = [
    pytest.mark.urls("tests.events.urls"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at"),
]


@pytest.fixture(autouse=True)
def _web(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def alice(transactional_db):
    return services.ensure_user(username="alice", password="correct horse battery")


@pytest.fixture
def stream(alice):
    return Stream("user", alice.public_id)


@pytest.fixture
def listen(alice):
    handler = StreamingASGIHandler()
    token = services.access_token_for(user=alice)

    def start(*, cursor=None, **query):
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": cursor} if cursor is not None else {})
        return Exchange(handler, "/api/events", headers=headers, query=query)

    return start


async def published(hub, stream, first, last):
    return await hub.broker.append([(stream, packed(n)) for n in range(first, last + 1)])


def told(exchange):
    return [json.loads(data) for _, data, _ in frames(exchange.body)]


def ns(exchange):
    return [each["payload"]["n"] for each in told(exchange) if each["type"] == "test.note"]


def truncations(exchange):
    return [each["payload"] for each in told(exchange) if each["type"] == "backlog.truncated"]


async def test_without_a_cursor_only_what_comes_is_told(hub, listen, stream):
    await published(hub, stream, 1, 3)
    exchange = listen()
    await exchange.has(b": connected\n")
    await until(lambda: stream in hub.rings and hub.rings[stream].head is not None)
    [event_id] = await published(hub, stream, 4, 4)
    await until(lambda: ns(exchange) == [4])
    assert told(exchange)[0]["id"] == str(event_id)
    assert told(exchange)[0]["user_id"] == stream.id
    await exchange.leave()


async def test_nothing_that_happens_right_after_the_answer_began_is_missed(hub, listen, stream):
    await published(hub, stream, 1, 1)
    for n in range(2, 12):
        exchange = listen(pending="0")
        await exchange.has(b": connected\n")
        await published(hub, stream, n, n)
        await until(lambda: ns(exchange) == [n])  # noqa: B023
        await exchange.leave()


@pytest.mark.parametrize("place", ["header", "query"])
async def test_a_cursor_brings_what_was_missed_and_then_what_comes(hub, listen, stream, place):
    ids = await published(hub, stream, 1, 5)
    exchange = listen(cursor=str(ids[1])) if place == "header" else listen(last_event_id=str(ids[1]))
    await until(lambda: ns(exchange) == [3, 4, 5])
    await published(hub, stream, 6, 6)
    await until(lambda: ns(exchange) == [3, 4, 5, 6])
    assert truncations(exchange) == []
    assert b"event:" not in exchange.body
    await exchange.leave()


async def test_the_header_wins_over_the_query(hub, listen, stream):
    ids = await published(hub, stream, 1, 5)
    exchange = listen(cursor=str(ids[3]), last_event_id=str(ids[0]))
    await until(lambda: ns(exchange) == [5])
    await exchange.leave()


async def test_a_page_ends_cleanly_and_the_next_goes_on(hub, listen, stream, settings):
    settings.EVENTS_REPLAY_MAX_PER_REQUEST = 10
    await published(hub, stream, 1, 25)
    cursor, got = "0-0", []
    for _ in range(2):
        exchange = await listen(cursor=cursor).over()
        assert exchange.ended
        assert len(ns(exchange)) == 10
        got += ns(exchange)
        cursor = told(exchange)[-1]["id"]
    exchange = listen(cursor=cursor)
    await until(lambda: len(ns(exchange)) == 5)
    assert got + ns(exchange) == list(range(1, 26))
    assert b"retry: " in exchange.body
    await exchange.leave()


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("abc", "malformed"), ("5", "malformed"), ("5-5", "unknown_cursor"), ("99999999999999999-0", "unknown_cursor")],
)
async def test_a_cursor_that_is_not_of_this_stream_is_told_first_and_brings_everything(hub, listen, stream, cursor, reason):
    ids = await published(hub, stream, 1, 3)
    exchange = listen(cursor=cursor)
    await until(lambda: ns(exchange) == [1, 2, 3])
    assert told(exchange)[0]["type"] == "backlog.truncated"
    assert truncations(exchange) == [{"oldest_retained_id": str(ids[0]), "reason": reason}]
    await exchange.leave()


async def test_a_trimmed_cursor_is_told_once(hub, listen, stream, settings):
    settings.EVENTS_STREAM_MAXLEN = 100
    ids = await published(hub, stream, 1, 350)
    for cursor in (str(ids[0]), "0-0", "0", "nonsense"):
        exchange = listen(cursor=cursor)
        await until(lambda: ns(exchange)[-1:] == [350])  # noqa: B023
        assert len(truncations(exchange)) == 1
        assert truncations(exchange)[0]["oldest_retained_id"] == told(exchange)[1]["id"]
        await exchange.leave()


async def test_a_cursor_on_a_stream_that_is_gone_is_told(hub, listen, stream):
    exchange = listen(cursor=str(EventId(1_700_000_000_000, 0)))
    await until(lambda: truncations(exchange))
    assert truncations(exchange) == [{"oldest_retained_id": "", "reason": "expired"}]
    await published(hub, stream, 1, 1)
    await until(lambda: ns(exchange) == [1])
    await exchange.leave()


async def test_a_flush_is_told_to_whoever_listens(hub, listen, stream, valkey):
    ids = await published(hub, stream, 1, 3)
    exchange = listen(cursor=str(ids[0]))
    await until(lambda: ns(exchange) == [2, 3])
    valkey.flushall()
    await published(hub, stream, 4, 4)
    await until(lambda: ns(exchange) == [2, 3, 4])
    assert len(truncations(exchange)) == 1
    await exchange.leave()


async def test_without_push_the_feed_says_so_and_ends(valkey, listen, settings):
    settings.ENABLE_SSE_PUSH = False
    exchange = await listen().over()
    assert (exchange.status, exchange.body, exchange.ended) == (200, b": push_disabled\n", True)


async def test_nobody_listens_without_credentials(valkey, alice):
    exchange = await Exchange(StreamingASGIHandler(), "/api/events").over()
    assert exchange.status == 401
    assert exchange.headers["www-authenticate"] == "Bearer"
    assert json.loads(exchange.body)["success"] is False


async def test_nobody_hears_what_is_meant_for_others(hub, listen, stream):
    bob = await in_thread(services.ensure_user, username="bob", password="correct horse battery")
    exchange = listen(cursor="0-0")
    await exchange.has(b": connected\n")
    await published(hub, Stream("user", bob.public_id), 1, 3)
    await published(hub, stream, 4, 4)
    await until(lambda: ns(exchange) == [4])
    await exchange.leave()


async def test_a_broker_that_is_away_refuses_instead_of_closing(listen, valkey_proxy):
    valkey_proxy.cut()
    exchange = await listen().over()
    assert exchange.status == 503
    assert int(exchange.headers["retry-after"]) >= 1
    assert json.loads(exchange.body)["success"] is False
    valkey_proxy.restore()
