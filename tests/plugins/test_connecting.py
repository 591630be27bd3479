"""A connection from its beginning to its tools, and every way in which other people's servers fail."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from events.sealing import unseal
from plugins import steps
from plugins.models import Connection
from tests.plugins.conftest import last, work_off
from tests.plugins.stub import query_of

NOT_JSON = (200, {"Content-Type": "text/html"}, b"<html>hello</html>")
PROTECTED = "/.well-known/oauth-protected-resource/mcp"
SERVER = "/.well-known/oauth-authorization-server"


def come_back(client, query):
    return client.get("/oauth/callback", query)


@pytest.mark.parametrize("streams", [False, True], ids=["plain JSON", "an event stream that stays open"])
def test_a_server_that_is_only_named_is_discovered_approved_and_its_tools_listed(begun, api, client, feed, stub, streams):
    stub.streams = streams
    id_, (step, payload) = begun(stub.mcp_url)
    assert step == "awaiting_redirect"
    asked = query_of(payload["authorization_url"])
    assert asked["resource"] == stub.mcp_url
    assert asked["scope"] == "tools"
    assert stub.registered["redirect_uris"] == [asked["redirect_uri"]] == ["http://testserver/oauth/callback"]
    response = come_back(client, stub.approve(payload["authorization_url"]))
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    work_off()
    task = api("get", f"/api/v1/connections/{id_}")[1]["task_id"]
    events = feed()
    assert [type_ for type_, _ in events] == [
        "mcp.oauth.in_progress",
        "mcp.oauth.awaiting_redirect",
        "mcp.oauth.in_progress",
        "mcp.oauth.completed",
    ]
    assert all(data["scope"] == {"kind": "mcp_oauth", "id": task} for _, data in events)
    assert events[0][1]["payload"].keys() == {"task_id", "message"}
    done = events[-1][1]["payload"]
    assert done["task_id"] == task
    assert done["tools_count"] == 3
    assert [tool["name"] for tool in done["tools"]] == ["tool_0", "tool_1", "tool_2"]
    told = api("get", f"/api/v1/connections/{id_}")[1]
    assert (told["status"], len(told["tools"])) == ("completed", 3)


def test_tokens_are_neither_told_nor_readable_in_the_database(begun, api, client, stub):
    id_, (_, payload) = begun(stub.mcp_url, client_id="mine", client_secret="very-secret")
    come_back(client, stub.approve(payload["authorization_url"]))
    work_off()
    (token,) = stub.tokens
    row = Connection.objects.values().get(pk=id_)
    readable = json.dumps(row, default=str) + json.dumps(api("get", f"/api/v1/connections/{id_}")[1])
    for secret in (token, "refresh-me", "very-secret", query_of(payload["authorization_url"])["state"]):
        assert secret not in readable
    assert unseal(row["sealed_access_token"]) == token
    assert row["sealed_verifier"] == row["sealed_code"] == ""
    assert row["expires_at"] > timezone.now() + timedelta(minutes=59)
    sent = next(headers for _, path, headers, _ in stub.requests if path == "/token")
    assert sent["Authorization"].startswith("Basic ")
    assert "/register" not in stub.paths()


def test_given_endpoints_are_used_without_looking_for_others(begun, client, feed, stub):
    endpoints = {"authorization_endpoint": f"{stub.url}/a?tenant=7", "token_endpoint": f"{stub.url}/token"}
    _, (step, payload) = begun(stub.mcp_url, client_id="mine", scopes="read write", **endpoints)
    assert step == "awaiting_redirect"
    assert stub.requests == []
    asked = query_of(payload["authorization_url"])
    assert (asked["tenant"], asked["client_id"], asked["scope"]) == ("7", "mine", "read write")
    come_back(client, stub.approve(payload["authorization_url"]))
    work_off()
    assert last(feed)[0] == "completed"


def test_a_server_that_wants_no_authorization_is_completed_at_once(begun, stub):
    stub.open_to_all = True
    _, (step, payload) = begun(stub.mcp_url)
    assert (step, payload["tools_count"]) == ("completed", 3)


@pytest.mark.parametrize("answer", [NOT_JSON, (404, {}, {}), (200, {}, [1, 2]), (400, {}, {"jsonrpc": "2.0"})])
def test_a_server_that_is_no_mcp_server_has_no_tools_and_is_connected(begun, client, feed, stub, answer):
    _, (_, payload) = begun(stub.mcp_url)
    come_back(client, stub.approve(payload["authorization_url"]))
    stub.answers["/mcp"] = answer
    work_off()
    step, payload = last(feed)
    assert (step, payload["tools"], payload["tools_count"]) == ("completed", [], 0)


def test_many_tools_fit_into_an_event_and_are_all_kept(begun, api, stub, settings):
    settings.EVENT_MAX_BYTES = 8192
    stub.open_to_all = True
    stub.tools = [{"name": f"tool_{n}", "description": "\ud800\x00" + "long " * 400} for n in range(39)]
    id_, (step, payload) = begun(stub.mcp_url)
    assert (step, payload["tools_count"]) == ("completed", 39)
    assert 0 < len(payload["tools"]) < 39
    assert len(api("get", f"/api/v1/connections/{id_}")[1]["tools"]) == 39


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/mcp", (500, {}, {}), "answered 500"),
        ("/mcp", (302, {"Location": "http://127.0.0.1:1/"}, b""), "redirects elsewhere"),
        (PROTECTED, NOT_JSON, "no JSON object"),
        (PROTECTED, (200, {}, b"[" * 100_000), "no JSON object"),
        (PROTECTED, (302, {"Location": "http://localhost:1/"}, b""), "redirects elsewhere"),
        (PROTECTED, (302, {"Location": PROTECTED}, b""), "redirects elsewhere"),
        (PROTECTED, (200, {}, {"resource": "https://elsewhere.example/mcp"}), "another resource"),
        (PROTECTED, (200, {}, {"resource": 7}), "another resource"),
        (PROTECTED, (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), "compressed"),
        (SERVER, (404, {}, {}), "no OAuth metadata"),
        (SERVER, (503, {}, {}), "answered 503"),
        (SERVER, (200, {}, {"issuer": "https://elsewhere.example"}), "another issuer"),
        (SERVER, (200, {}, b"x" * 2_000_000), "more than"),
        ("/register", (400, {}, {"error": "invalid_redirect_uri"}), "invalid_redirect_uri"),
        ("/register", (201, {}, {"client_id": 7}), "client_id"),
    ],
)
def test_what_fails_before_the_approval_is_told_as_the_reason(begun, api, stub, path, answer, words):
    stub.answers[path] = answer
    id_, (step, payload) = begun(stub.mcp_url)
    assert step == "failed"
    assert words in payload["error"]
    told = api("get", f"/api/v1/connections/{id_}")[1]
    assert (told["status"], told["error"]) == ("failed", payload["error"])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"code_challenge_methods_supported": None}, "PKCE"),
        ({"token_endpoint": "file:///etc/passwd"}, "https://"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "https://"),
        ({"registration_endpoint": ""}, "client_id"),
    ],
)
def test_an_authorization_server_that_cannot_be_used_is_told(begun, stub, metadata, words):
    stub.metadata = metadata
    _, (step, payload) = begun(stub.mcp_url)
    assert step == "failed"
    assert words in payload["error"]


@pytest.mark.parametrize("path", ["/mcp", SERVER, "/register"])
def test_a_server_that_hangs_is_given_up(begun, stub, settings, path):
    settings.PLUGINS_TIMEOUT_SECONDS = 0.3
    stub.answers[path] = "hang"
    _, (step, payload) = begun(stub.mcp_url)
    assert step == "failed"
    assert "did not answer" in payload["error"]


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/token", (400, {}, {"error": "invalid_grant", "error_description": "too\n old"}), "invalid_grant too old"),
        ("/token", (500, {}, b"oops"), "500"),
        ("/token", (307, {"Location": "/elsewhere"}, b""), "redirects elsewhere"),
        ("/token", NOT_JSON, "no JSON object"),
        ("/token", (200, {}, {"access_token": "a", "token_type": "mac"}), "Bearer"),
        ("/token", (200, {}, {"token_type": "bearer"}), "access_token"),
        ("/token", (200, {}, {"access_token": "a\nb", "token_type": "bearer"}), "access_token"),
        ("/mcp", (401, {}, {}), "does not accept the token"),
        ("/mcp", (500, {}, {}), "answered 500"),
    ],
)
def test_what_fails_after_the_approval_is_told_as_the_reason(begun, client, feed, stub, path, answer, words):
    id_, (_, payload) = begun(stub.mcp_url)
    come_back(client, stub.approve(payload["authorization_url"]))
    stub.answers[path] = answer
    work_off()
    step, payload = last(feed)
    assert step == "failed"
    assert words in payload["error"]
    assert Connection.objects.get(pk=id_).sealed_access_token == ""


def test_a_private_address_is_not_called(begun, stub, settings):
    settings.PLUGINS_ALLOW_PRIVATE_ADDRESSES = False
    _, (step, payload) = begun(stub.mcp_url)
    assert step == "failed"
    assert "private network" in payload["error"]
    assert stub.requests == []


def test_a_public_server_cannot_lead_to_a_private_one(begun, stub):
    """Each address is checked, not only the first: here one that is no address at all."""
    stub.answers[PROTECTED] = 200, {}, {"resource": stub.mcp_url, "authorization_servers": ["http://no-such-host.invalid"]}
    _, (step, payload) = begun(stub.mcp_url)
    assert step == "failed"
    assert "no host no-such-host.invalid" in payload["error"]


def test_a_connection_that_is_deleted_while_it_is_made_is_not_told(api, feed, stub):
    made = api("post", "/api/v1/connections", {"name": "Files", "server_url": stub.mcp_url})[1]
    plan = steps.begin(connection_id=made["id"])
    assert api("delete", f"/api/v1/connections/{made['id']}") == (204, None)
    steps.complete(plan=plan, tokens=None, tools=[])
    steps.fail(plan=plan, error="too late")
    assert [type_ for type_, _ in feed()] == ["mcp.oauth.in_progress"]


def test_a_connection_is_begun_by_one_worker_only(api, feed, stub):
    made = api("post", "/api/v1/connections", {"name": "Files", "server_url": stub.mcp_url})[1]
    assert steps.begin(connection_id=made["id"]) is not None
    assert steps.begin(connection_id=made["id"]) is None
    assert len(feed()) == 1


def test_what_a_dead_worker_left_and_what_nobody_approved_is_ended(begun, api, feed, stub):
    waiting, _ = begun(stub.mcp_url)
    left = api("post", "/api/v1/connections", {"name": "Files", "server_url": stub.mcp_url})[1]["id"]
    steps.begin(connection_id=left)
    assert steps.sweep() == 0
    Connection.objects.filter(pk=left).update(updated_at=timezone.now() - steps.STALE - timedelta(seconds=1))
    assert steps.sweep() == 1
    assert last(feed) == ("failed", {"task_id": last(feed)[1]["task_id"], "error": steps.DIED})
    Connection.objects.filter(pk=waiting).update(state_expires_at=timezone.now() - timedelta(seconds=1))
    assert steps.sweep() == 1
    assert last(feed)[1]["error"] == steps.NOT_APPROVED
    assert steps.sweep() == 0


def test_a_worker_that_comes_back_after_it_was_given_up_changes_nothing(api, feed, stub):
    made = api("post", "/api/v1/connections", {"name": "Files", "server_url": stub.mcp_url})[1]
    plan = steps.begin(connection_id=made["id"])
    steps.fail(plan=plan, error="given up")
    steps.complete(plan=plan, tokens=None, tools=[])
    steps.fail(plan=plan, error="again")
    told = api("get", f"/api/v1/connections/{made['id']}")[1]
    assert (told["status"], told["error"]) == ("failed", "given up")
    assert [type_ for type_, _ in feed()] == ["mcp.oauth.in_progress", "mcp.oauth.failed"]


def test_a_changed_secret_key_fails_the_connection_with_that_reason(begun, client, feed, stub, settings):
    _, (_, payload) = begun(stub.mcp_url)
    come_back(client, stub.approve(payload["authorization_url"]))
    settings.SECRET_KEY = "another-signing-key-for-tests-0123456789"
    work_off()
    assert last(feed) == ("failed", {"task_id": payload["task_id"], "error": steps.SEALED_OTHERWISE})
