"""The addresses about connections, over the real ASGI handler, with a real stream to end."""

import json

import pytest

from accounts import services
from accounts.models import ApiKey
from accounts.recent import recent_callers
from accounts.threads import in_thread
from events.asgi import StreamingASGIHandler
from events.connections import Connection, current_connections
from events.hub import current_hub
from tests.events.asgi import Exchange
from tests.events.conftest import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore:No directory at")]


@pytest.fixture(autouse=True)
def _web(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Nothing here may have to wait for the next look at a credential.
    settings.AUTH_RECHECK_SECONDS = 600
    recent_callers.clear()


@pytest.fixture
def alice(transactional_db):
    return services.ensure_user(username="alice", password="correct horse battery")


@pytest.fixture
def token(transactional_db):
    """Of someone on the staff."""
    return services.access_token_for(user=services.ensure_user(username="demo", password="demo", is_staff=True))


@pytest.fixture
def ask(hub, token):
    handler = StreamingASGIHandler()

    async def ask(path, *, method="GET", query="", by=token):
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        exchange = await Exchange(handler, path, method=method, query=query, headers=headers).over()
        return exchange.status, json.loads(exchange.body or "null")

    return ask


@pytest.fixture
def listen(hub):
    handler = StreamingASGIHandler()

    async def start(secret):
        exchange = Exchange(handler, "/api/events", headers={"Authorization": f"Bearer {secret}"})
        await exchange.has(b": connected\n")
        await until(lambda: current_connections()._open)
        return exchange

    return start


def a_socket(user_id, *, number=1):
    """A socket as a consumer registers it; what ended it is in the list."""
    ended = []
    connection = Connection(
        id=f"{user_id}-{number}",
        user_id=user_id,
        session="session-abc",
        path="/ws/chat/session-abc",
        transport="ws",
        end=lambda code, reason: ended.append((code, reason)),
        recheck=lambda: None,
    )
    current_connections().register(connection)
    return connection, ended


async def asked_until(ask, path, holds, **options):
    """The body of the answer, once it holds."""
    for _ in range(300):
        status, body = await ask(path, **options)
        assert status == 200, body
        if holds(body):
            return body
    raise AssertionError(body)


async def obeying():
    """Once this process follows the commands."""
    connections = current_connections()
    await until(lambda: any(feed._waiter for ring in current_hub().rings.values() for feed in ring.feeds if ring.stream.internal))
    return connections


async def test_the_statistics_are_those_of_the_seed(ask, alice):
    empty = {"total_connections": 0, "active_sessions": 0, "active_users": 0, "details": {"sessions": {}, "users": {}}}
    assert await ask("/ws/stats") == (200, empty)
    sockets = [a_socket(alice.public_id, number=n)[0] for n in range(2)]
    found = await asked_until(ask, "/ws/stats", lambda body: body["total_connections"] == 2)
    assert found == {
        "total_connections": 2,
        "active_sessions": 1,
        "active_users": 1,
        "details": {"sessions": {"session-abc": 2}, "users": {alice.public_id: 2}},
    }
    for each in sockets:
        current_connections().unregister(each)
    await asked_until(ask, "/ws/stats", lambda body: body == empty)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ws/stats"),
        ("GET", "/api/v1/ops/connections"),
        ("GET", "/api/v1/ops"),
        ("DELETE", "/api/v1/ops/connections/abc"),
        ("POST", "/api/v1/users/user_x/disconnect"),
    ],
)
async def test_all_of_it_is_for_staff(ask, alice, method, path):
    status, body = await ask(path, method=method, by=None)
    assert (status, body["code"]) == (401, "unauthenticated")
    status, body = await ask(path, method=method, by=await in_thread(services.access_token_for, user=alice))
    assert (status, body["code"]) == (403, "forbidden")
    assert body["detail"]


async def test_a_stream_is_listed_with_its_user_and_path_and_without_its_secret(ask, listen, alice):
    exchange = await listen(await in_thread(services.access_token_for, user=alice))
    body = await asked_until(ask, "/api/v1/ops/connections", lambda body: body["results"])
    [found] = body["results"]
    assert (found["user_id"], found["session"]) == (alice.public_id, f"user:{alice.public_id}")
    assert (found["path"], found["transport"]) == ("/api/events", "sse")
    assert body["next"] is None
    assert (await ask("/api/v1/ops/connections", query={"user": "somebody-else"}))[1]["results"] == []
    status, body = await ask("/api/v1/ops/connections", query={"cursor": "nonsense"})
    assert (status, body["code"]) == (400, "invalid_request")
    await exchange.leave()
    await asked_until(ask, "/api/v1/ops/connections", lambda body: not body["results"])


async def test_one_connection_is_ended(ask, listen, alice):
    await obeying()
    exchange = await listen(await in_thread(services.access_token_for, user=alice))
    [found] = (await asked_until(ask, "/api/v1/ops/connections", lambda body: body["results"]))["results"]
    assert await ask(f"/api/v1/ops/connections/{found['id']}", method="DELETE") == (202, {"id": found["id"]})
    await exchange.over(seconds=1)
    assert exchange.ended
    await asked_until(ask, "/api/v1/ops/connections", lambda body: not body["results"])
    assert (await ask(f"/api/v1/ops/connections/{found['id']}", method="DELETE"))[0] == 404


async def test_everything_of_a_user_is_ended(ask, listen, alice):
    await obeying()
    exchange = await listen(await in_thread(services.access_token_for, user=alice))
    _, ended = a_socket(alice.public_id)
    _, others = a_socket("bob")
    status, body = await ask(f"/api/v1/users/{alice.public_id}/disconnect", method="POST")
    assert (status, body) == (202, {"user_id": alice.public_id})
    await exchange.over(seconds=1)
    await until(lambda: ended == [(4403, "Ended by an operator")], seconds=1)
    assert others == []


async def expired(exchange):
    """The stream has ended, and said why, within a second."""
    await exchange.over(seconds=1)
    return b"auth.expired" in exchange.body and exchange.ended


async def test_a_revoked_key_ends_its_stream_within_a_second_and_no_other(listen, alice):
    await obeying()
    one, other = [(await in_thread(services.issue_api_key, user_pk=alice.pk, name=name)) for name in ("one", "other")]
    streams = [await listen(each.key) for each in (one, other)]
    await in_thread(services.revoke_api_key, user_pk=alice.pk, key_id=one.row.pk)
    assert await expired(streams[0])
    assert not streams[1].ended
    await in_thread(services.revoke_api_keys, keys=ApiKey.objects.all())
    assert await expired(streams[1])


async def test_a_deactivated_user_is_out_within_a_second(listen, alice):
    await obeying()
    exchange = await listen(await in_thread(services.access_token_for, user=alice))
    alice.is_active = False
    await in_thread(alice.save)
    assert await expired(exchange)


async def test_a_deleted_user_is_out_within_a_second(listen, alice):
    await obeying()
    exchange = await listen(await in_thread(services.access_token_for, user=alice))
    await in_thread(alice.delete)
    assert await expired(exchange)


async def test_a_log_out_ends_the_streams_of_its_session_within_a_second(hub, alice):
    from django.test import Client

    await obeying()
    handler = StreamingASGIHandler()
    client = Client()
    await in_thread(client.force_login, alice)
    cookie = client.cookies["sessionid"].value
    exchange = Exchange(handler, "/api/events", headers={"Cookie": f"sessionid={cookie}"})
    await exchange.has(b": connected\n")
    await until(lambda: current_connections()._open)
    await in_thread(client.post, "/logout")
    assert await expired(exchange)


async def test_a_log_in_looks_at_nobody_again(hub, alice, monkeypatch):
    seen = []
    monkeypatch.setattr("events.registry.publish_with_commit", lambda **fields: seen.append(fields))
    from django.test import Client

    client = Client()
    await in_thread(client.force_login, alice)
    assert seen == []
    alice.first_name = "Alice"
    await in_thread(alice.save)
    assert [each["data"] for each in seen] == [{"user_ids": [alice.public_id]}]


async def test_the_overview_says_what_answers_and_what_there_is(ask, alice):
    a_socket(alice.public_id)
    body = await asked_until(ask, "/api/v1/ops", lambda body: body["connections"]["total_connections"] == 1)
    assert body["connections"] == {"total_connections": 1, "active_sessions": 1, "active_users": 1}
    assert body["parts"]["database"] == body["parts"]["broker"] == "ok"
    assert body["runs"] == {"queued": 0, "running": 0, "awaiting_approval": 0}
    assert [each["connections"] for each in body["processes"]] == [1]
    assert body["lag"].keys() == {"journal_seconds", "journal_events"}
