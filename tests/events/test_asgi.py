import json
import threading

import pytest

from events.asgi import StreamingASGIHandler
from tests.events import urls
from tests.events.asgi import Exchange, frames
from tests.events.conftest import a_backlog, packed, until

pytestmark = [
    pytest.mark.urls("tests.events.urls"),
    pytest.mark.filterwarnings("ignore:No directory at"),  # static files are not collected for tests
]


@pytest.fixture(autouse=True)
def _web(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.CORS_ALLOWED_ORIGINS = ["https://page.example"]
    urls.closed.clear()


@pytest.fixture
def ask():
    handler = StreamingASGIHandler()

    def start(path, **kwargs):
        return Exchange(handler, path, **kwargs)

    return start


async def publish(hub, stream, first, last):
    await hub.broker.append([(stream, packed(n)) for n in range(first, last + 1)])


def told(exchange):
    return [json.loads(data)["payload"]["n"] for _, data, _ in frames(exchange.body)]


class TestStreams:
    async def test_the_headers_and_the_first_bytes_come_at_once(self, ask, hub):
        exchange = ask(f"/backlog/{a_backlog().id}")
        await exchange.has(b": connected\n")
        assert exchange.status == 200
        assert exchange.headers == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache, no-transform",
            "x-accel-buffering": "no",
            "content-encoding": "identity",
            "x-content-type-options": "nosniff",
            "x-own": "yes",
        } | {"vary": exchange.headers["vary"]}
        await exchange.leave()

    async def test_events_that_wait_together_are_one_send(self, ask, hub):
        stream = a_backlog()
        await publish(hub, stream, 1, 20)
        exchange = ask(f"/backlog/{stream.id}")
        await until(lambda: len(exchange.messages) == 3)
        assert told(exchange) == list(range(1, 21))
        await exchange.leave()

    async def test_a_slow_client_gets_what_it_missed_in_one_send(self, ask, hub):
        stream = a_backlog()
        slow, quick = ask(f"/backlog/{stream.id}", slow=True), ask(f"/backlog/{stream.id}")
        await quick.has(b": connected\n")
        for n in range(1, 31):
            await publish(hub, stream, n, n)
            await until(lambda: told(quick)[-1:] == [n])  # noqa: B023
        slow.ready.set()
        await until(lambda: told(slow) == list(range(1, 31)))
        assert len(slow.messages) <= 4
        await slow.leave()
        await quick.leave()

    async def test_a_slow_client_behind_the_ring_loses_nothing(self, ask, hub, settings):
        settings.EVENTS_RING_EVENTS, settings.EVENTS_READ_BATCH = 4, 8
        stream = a_backlog()
        await publish(hub, stream, 1, 1)
        slow, quick = ask(f"/backlog/{stream.id}"), ask(f"/backlog/{stream.id}")
        await until(lambda: told(slow) == told(quick) == [1])
        slow.ready.clear()
        for n in range(2, 60):
            await publish(hub, stream, n, n)
        await until(lambda: told(quick)[-1:] == [59])
        assert len(told(slow)) <= 2
        slow.ready.set()
        await until(lambda: told(slow)[-1:] == [59])
        assert told(slow) == told(quick) == list(range(1, 60))
        await slow.leave()
        await quick.leave()

    async def test_a_client_that_leaves_is_let_go_promptly(self, ask, hub):
        exchanges = [ask(f"/backlog/{a_backlog().id}") for _ in range(3)]
        for exchange in exchanges:
            await exchange.has(b": connected\n")
        for exchange in exchanges:
            await exchange.leave()
        assert hub.rings == {}
        assert len(urls.closed) == 3

    async def test_the_end_of_the_process_ends_a_response_in_order(self, ask, hub):
        stream = a_backlog()
        await publish(hub, stream, 1, 5)
        exchange = ask(f"/backlog/{stream.id}")
        await until(lambda: told(exchange) == [1, 2, 3, 4, 5])
        hub.end_feeds()
        await exchange.over()
        assert exchange.ended
        assert exchange.body.endswith(b"\n\n")
        assert urls.closed == [stream.id]

    async def test_a_quiet_stream_carries_comments_only(self, ask, valkey, settings):
        settings.SSE_KEEPALIVE_SECONDS = 0.1
        exchange = ask(f"/backlog/{a_backlog().id}")
        await until(lambda: exchange.body.count(b":\n") >= 3)
        assert frames(exchange.body) == []
        await exchange.leave()

    async def test_a_client_that_fails_while_written_to_leaves_nothing_behind(self, ask, hub):
        stream = a_backlog()
        exchange = ask(f"/backlog/{stream.id}")
        await exchange.has(b": connected\n")

        async def broken(message):
            raise OSError("gone")

        exchange.ready = type("Broken", (), {"wait": lambda self: broken(None)})()
        await publish(hub, stream, 1, 1)
        with pytest.raises(OSError, match="gone"):
            await exchange.over()
        await until(lambda: hub.rings == {})
        assert urls.closed == [stream.id]

    @pytest.mark.parametrize("path", ["backlog", "threaded"])
    async def test_five_hundred_open_streams_take_few_threads(self, ask, hub, path):
        before = threading.active_count()
        streams = [a_backlog() for _ in range(10)]
        exchanges = [ask(f"/{path}/{streams[n % 10].id}") for n in range(500)]
        plain = [ask("/plain") for _ in range(20)]
        for exchange in exchanges:
            await exchange.has(b": connected\n", seconds=20)
        for exchange in plain:
            await exchange.over()
        assert threading.active_count() - before <= 16
        for stream in streams:
            await publish(hub, stream, 1, 1)
        for exchange in exchanges:
            await until(lambda: told(exchange) == [1])  # noqa: B023
        for exchange in exchanges:
            exchange.gone.set()
        for exchange in exchanges:
            await exchange.over()
        assert hub.rings == {}


class TestRequests:
    async def test_everything_else_is_served_as_django_does(self, ask):
        assert json.loads((await ask("/plain").over()).body) == {"path": "/plain"}
        assert (await ask("/nothing").over()).status == 404

    async def test_no_address_takes_a_body_beyond_the_limit(self, ask, settings):
        settings.HTTP_BODY_MAX_BYTES = 10
        declared = await ask("/nothing", method="POST", headers={"Content-Length": "11"}, parts=(b"x" * 11,)).over()
        assert (declared.status, json.loads(declared.body)["code"]) == (413, "too_large")
        undeclared = await ask("/nothing", method="POST", parts=(b"x" * 6, b"x" * 6)).over()
        assert undeclared.messages == []
        fitting = await ask("/nothing", method="POST", headers={"Content-Length": "10"}, parts=(b"x" * 10,)).over()
        assert fitting.status == 404

    async def test_a_body_is_read_whole(self, ask):
        exchange = await ask("/body", method="POST", parts=(b"a" * 50, b"", b"b" * 50)).over()
        assert (exchange.status, exchange.body) == (200, b"a" * 50 + b"b" * 50)

    @pytest.mark.parametrize("parts", [(b"a" * 101,), (b"a" * 60, b"b" * 60), (b"a",) * 101])
    async def test_a_body_that_is_too_large_is_refused(self, ask, parts):
        exchange = await ask("/body", method="POST", parts=parts).over()
        assert exchange.status == 413
        assert json.loads(exchange.body)["code"] == "too_large"

    async def test_where_no_body_is_taken_any_is_refused(self, ask):
        assert (await ask("/refused", parts=(b"x",)).over()).status == 413

    async def test_a_client_that_leaves_before_its_body_is_complete_is_forgotten(self, ask):
        exchange = ask("/body", method="POST", parts=(b"a", b"b"))
        exchange._parts = []
        exchange.gone.set()
        await exchange.over()
        assert exchange.messages == []

    async def test_other_methods_are_refused_by_name(self, ask):
        exchange = await ask("/body", method="DELETE").over()
        assert exchange.status == 405
        assert "POST" in json.loads(exchange.body)["message"]

    async def test_an_error_keeps_its_status_body_and_retry_after(self, ask):
        exchange = await ask("/refused").over()
        assert (exchange.status, exchange.headers["retry-after"]) == (429, "7")
        assert json.loads(exchange.body) == {"success": False, "message": "Wait.", "code": "too_many"}

    async def test_a_mistake_of_ours_says_nothing_of_itself(self, ask):
        exchange = await ask("/broken").over()
        assert exchange.status == 500
        assert set(json.loads(exchange.body)) == {"detail", "code"}
        assert b"ZeroDivision" not in exchange.body

    async def test_a_foreign_host_is_refused(self, ask):
        exchange = await ask("/backlog/x", host="evil.example").over()
        assert exchange.status == 400
        assert "ALLOWED_HOSTS" in json.loads(exchange.body)["message"]

    async def test_a_query_that_is_not_text_is_refused(self, ask):
        exchange = await ask("/backlog/x", query=b"last_event_id=\xff").over()
        assert exchange.status == 400
        assert json.loads(exchange.body)["success"] is False


class TestOtherOrigins:
    async def test_a_preflight_is_answered_without_the_view(self, ask):
        headers = {
            "Origin": "https://page.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,last-event-id,idempotency-key",
        }
        exchange = await ask("/backlog/x", method="OPTIONS", headers=headers).over()
        assert exchange.status == 200
        assert exchange.headers["access-control-allow-origin"] == "https://page.example"
        allowed = exchange.headers["access-control-allow-headers"].replace(" ", "").split(",")
        assert {"authorization", "content-type", "last-event-id", "idempotency-key"} <= set(allowed)
        assert urls.closed == []

    @pytest.mark.parametrize("path", ["/backlog/x", "/refused"])
    async def test_answers_may_be_read_by_allowed_origins_only(self, ask, hub, path):
        friend = ask(path, headers={"Origin": "https://page.example"})
        stranger = ask(path, headers={"Origin": "https://evil.example"})
        for exchange in (friend, stranger):
            await until(lambda: exchange.messages)  # noqa: B023
            exchange.gone.set()
            await exchange.over()
        assert friend.headers["access-control-allow-origin"] == "https://page.example"
        assert "Retry-After" in friend.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in stranger.headers
