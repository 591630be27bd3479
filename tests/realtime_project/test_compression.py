"""Streams of a project that compresses its responses: Django's GZipMiddleware, first of all middleware."""

import gzip

import pytest
import redis
from django.conf import settings as django_settings
from django.http import HttpRequest
from django.middleware.gzip import GZipMiddleware

from accounts.models import User
from accounts.services import access_token_for, ensure_user
from accounts.threads import in_thread
from events import sse
from events.asgi import StreamingASGIHandler
from events.hub import close_hub
from events.publishing import publish
from events.responses import EventStreamResponse
from events.streams import Stream
from tests.events.asgi import Exchange

pytestmark = pytest.mark.filterwarnings("ignore:No directory at")  # static files are not collected for tests
SECONDS = 1


@pytest.fixture
def compressing(transactional_db, settings, redis_url):
    """The project's own handler, with the middleware added."""
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *django_settings.MIDDLEWARE]
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return StreamingASGIHandler()


@pytest.fixture
async def ask(compressing):
    user = await in_thread(ensure_user, username="alice", password="alice", public_id="user_alice")
    token = await in_thread(access_token_for, user=await in_thread(User.objects.get, pk=user.pk))

    def start(path, **options):
        headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return Exchange(compressing, path, headers=headers, **options)

    yield start
    await close_hub()


async def test_the_middleware_is_at_work(ask):
    page = await ask("/login").over()
    assert page.headers["content-encoding"] == "gzip"
    assert b"Log in" in gzip.decompress(page.body)


async def test_the_user_feed_is_sent_as_it_comes(ask):
    feed = ask("/api/events")
    await feed.has(sse.CONNECTED, seconds=SECONDS)
    assert feed.headers["content-encoding"] == "identity"
    await in_thread(publish, stream=Stream("user", "user_alice"), type="demo.event", data={"payload": {"title": "now"}})
    await feed.has(b'"now"', seconds=SECONDS)
    assert not feed.ended
    await feed.leave()


async def test_an_answer_is_sent_as_it_comes(ask, settings):
    settings.CHAT_ENGINE = "scripted"
    answer = ask("/stream", method="POST", headers={"Content-Type": "application/json"}, parts=(b'{"question": "hello"}',))
    await answer.has(b'"message_id"', seconds=SECONDS)
    assert answer.headers["content-encoding"] == "identity"
    assert not answer.ended
    await answer.leave()


def test_a_stream_that_does_pass_through_it_is_left_alone():
    request = HttpRequest()
    request.META["HTTP_ACCEPT_ENCODING"] = "gzip"
    response = EventStreamResponse(feed=None, encoder=None)
    passed = GZipMiddleware(lambda _: response)(request)
    assert passed is response
    assert passed["Content-Encoding"] == "identity"
