import json
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.middleware.csrf import _get_new_csrf_string
from django.test import AsyncClient, Client

from accounts import services, tokens
from accounts.models import ApiKey, Ticket, User
from accounts.recent import recent_callers
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db

TOKEN, REFRESH = "/api/v1/auth/token", "/api/v1/auth/token/refresh"
TICKETS, KEYS = "/api/v1/auth/tickets", "/api/v1/auth/api-keys"


def post(client, path, body, **more):
    raw = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post(path, raw, content_type="application/json", **more)


def log_in(client, **changes):
    return post(client, TOKEN, {"username": "alice", "password": PASSWORD} | changes)


def test_a_log_in_answers_both_tokens(client, alice):
    response = log_in(client)
    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh"}
    assert tokens.read_access(response.json()["access"]).user_id == alice.public_id
    assert response["Cache-Control"] == "no-store"


def test_a_refresh_answers_an_access_token(client, alice):
    response = post(client, REFRESH, {"refresh": log_in(client).json()["refresh"]})
    assert response.status_code == 200
    assert tokens.read_access(response.json()["access"]).user_id == alice.public_id


@pytest.mark.parametrize(
    "changes", [{"password": "wrong"}, {"username": "nobody"}, {"password": PASSWORD + " "}, {"username": "ALICE"}]
)
def test_a_wrong_name_or_password_is_401_in_the_same_words(client, alice, changes):
    response = log_in(client, **changes)
    assert response.status_code == 401
    assert response.json()["detail"] == "Wrong user name or password."
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_deactivated_user_cannot_log_in(client, alice):
    User.objects.update(is_active=False)
    assert log_in(client).status_code == 401


def test_a_refused_log_in_takes_as_long_for_a_name_that_does_not_exist(client, alice, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 0
    alice.set_password(PASSWORD)
    alice.save()

    def fastest(username):
        times = []
        for _ in range(3):
            started = time.process_time()
            assert log_in(client, username=username, password="wrong").status_code == 401
            times.append(time.process_time() - started)
        return min(times)

    known, unknown = fastest("alice"), fastest("nobody")
    assert 0.5 < unknown / known < 2


def test_too_many_attempts_are_429_with_retry_after(client, alice, settings):
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 2
    for _ in range(2):
        assert log_in(client, password="wrong").status_code == 401
    response = log_in(client)
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60
    assert "detail" in response.json()


@pytest.mark.parametrize("bad", ["not.a.token", "\u00fc", "a"])
def test_a_bad_refresh_token_is_401(client, bad):
    response = post(client, REFRESH, {"refresh": bad})
    assert response.status_code == 401
    assert isinstance(response.json()["detail"], str)


BAD_BODIES = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"username": "a", "password": "b", "path": "/a", "name": "n", "refresh": "r"',
    b"[" * 50_000,
    b'{"a":' * 10_000,
    json.dumps({"username": "a" * 70_000, "password": "b", "path": "/a", "name": "n", "refresh": "r"}).encode(),
    *[
        json.dumps({"username": wrong, "password": wrong, "path": wrong, "name": wrong, "refresh": wrong}).encode()
        for wrong in (None, 7, True, [], {}, "", "nul\0", "\ud800", "a" * 9000)
    ],
]


@pytest.mark.parametrize("path", [TOKEN, REFRESH, TICKETS, KEYS])
@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:20]))
def test_a_bad_body_is_400_and_says_why(client, bearer, path, body):
    response = post(client, path, body, **bearer)
    assert response.status_code == 400, response.content
    assert isinstance(response.json()["detail"], str)
    assert response.json()["detail"]


def test_another_content_type_is_415(client):
    assert client.post(TOKEN, {"username": "a", "password": "b"}).status_code == 415


@pytest.mark.parametrize("path", [TICKETS, KEYS])
def test_tickets_and_keys_need_a_caller(client, db, path):
    response = post(client, path, {"path": "/a", "name": "a"})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert client.get(KEYS).status_code == 401
    assert client.delete(f"{KEYS}/1").status_code == 401


def test_a_ticket_is_answered_once_made(client, alice, bearer):
    response = post(client, TICKETS, {"path": "/who?x=1"}, **bearer)
    assert response.status_code == 201
    body = response.json()
    assert (set(body), body["path"], body["expires_in"]) == ({"ticket", "expires_in", "path"}, "/who", 30)
    assert response["Cache-Control"] == "no-store"
    assert client.get("/who", {"ticket": body["ticket"]}).json() == {
        "user_id": alice.public_id,
        "credential": "ticket",
        "same": True,
    }
    assert client.get("/who", {"ticket": body["ticket"]}).status_code == 401
    assert not Ticket.objects.exists()


def test_a_key_is_shown_once_and_listed_without_itself(client, alice, bearer):
    response = post(client, KEYS, {"name": "laptop"}, **bearer)
    assert response.status_code == 201
    made = response.json()
    assert set(made) == {"id", "name", "key", "prefix"}
    assert made["key"].startswith(made["prefix"])
    listed = client.get(KEYS, **bearer)
    assert [set(each) for each in listed.json()["results"]] == [{"id", "name", "prefix", "created_at"}]
    assert made["key"] not in listed.content.decode()
    assert client.get("/who", headers={"Authorization": f"Bearer {made['key']}"}).json()["credential"] == "api_key"


def test_a_revoked_key_is_gone(client, alice, bearer):
    made = post(client, KEYS, {"name": "laptop"}, **bearer).json()
    assert client.delete(f"{KEYS}/{made['id']}", **bearer).status_code == 204
    recent_callers.clear()
    assert client.get("/who", {"api_key": made["key"]}).status_code == 401
    assert client.get(KEYS, **bearer).json()["results"] == []
    assert client.delete(f"{KEYS}/{made['id']}", **bearer).status_code == 404


def test_others_keys_are_neither_listed_nor_revoked(client, alice, bob, bearer):
    other = services.issue_api_key(user_pk=bob.pk, name="bobs")
    assert client.get(KEYS, **bearer).json()["results"] == []
    for key_id in (other.row.pk, 10**30, 0, "x", "-1", "%00", "%D9%A3"):
        assert client.delete(f"{KEYS}/{key_id}", **bearer).status_code == 404
    assert ApiKey.objects.get().revoked_at is None


def test_a_key_cannot_make_keys(client, alice):
    key = services.issue_api_key(user_pk=alice.pk, name="first").key
    assert post(client, KEYS, {"name": "second"}, headers={"Authorization": f"Bearer {key}"}).status_code == 403


def test_the_caller_is_user_and_auth_of_a_view(client, alice, bearer):
    assert client.get("/who", **bearer).json() == {"user_id": alice.public_id, "credential": "jwt", "same": True}


def test_a_view_for_everyone_serves_those_without_credentials_but_not_bad_ones(client, db):
    assert client.get("/public").json() == {"anonymous": True}
    assert client.get("/public", {"token": "bad"}).status_code == 401


def test_a_session_needs_the_csrf_token_for_unsafe_methods(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get("/who").json()["credential"] == "session"
    refused = post(client, "/who", {})
    assert refused.status_code == 403
    assert "X-CSRFToken" in refused.json()["detail"]
    token = _get_new_csrf_string()
    client.cookies["csrftoken"] = token
    assert post(client, "/who", {}, headers={"X-CSRFToken": token}).json()["credential"] == "session"
    assert post(client, "/who", {}, headers={"X-CSRFToken": token, "Origin": "http://evil.example"}).status_code == 403


def test_a_token_needs_no_csrf_token(bearer):
    assert post(Client(enforce_csrf_checks=True), "/who", {}, **bearer).status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_views_work_the_same_under_asgi(alice_token):
    client = AsyncClient()
    response = await client.get("/who", headers={"Authorization": f"Bearer {alice_token}"})
    assert response.json()["credential"] == "jwt"
    assert (await client.get("/who", {"token": alice_token})).json()["credential"] == "jwt"
    assert (await client.get("/who")).status_code == 401
    # Django's test client leaves the connection of the thread that ran the sync view open.
    await sync_to_async(connections.close_all)()
