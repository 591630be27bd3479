"""Connections over REST, and the page that browsers come back to."""

from datetime import timedelta

import pytest
from django.utils import timezone

from events.paging import PAGE
from plugins import services
from plugins.models import Connection
from tests.plugins.conftest import last, work_off

ROOT = "/api/v1/connections"


def test_connections_belong_to_their_owner(api, stub):
    made = api("post", ROOT, {"name": "Files", "server_url": stub.mcp_url})[1]
    assert [each["id"] for each in api("get", ROOT)[1]["results"]] == [made["id"]]
    assert api("get", ROOT, user="bob")[1] == {"results": [], "next": None}
    for method in ("get", "delete"):
        assert api(method, f"{ROOT}/{made['id']}", user="bob")[0] == 404
        assert api(method, f"{ROOT}/{{{made['id']}}}")[0] == 400
    assert api("delete", f"{ROOT}/{made['id']}") == (204, None)
    assert api("get", f"{ROOT}/{made['id']}")[0] == 404


def test_nobody_connects_without_credentials(client, people):
    assert client.post(ROOT, {"name": "x"}, content_type="application/json").status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"server_url": "ftp://example.org/"},
        {"server_url": "file:///etc/passwd"},
        {"server_url": "https://user:pass@example.org/"},
        {"server_url": "https://example.org:99999/"},
        {"server_url": "https://[::1/"},
        {"server_url": "https:///mcp"},
        {"server_url": "https://exa mple.org/"},
        {"server_url": "https://example.org/#part"},
        {"server_url": "https://example.org/" + "x" * 2000},
        {"server_url": ""},
        {"server_url": 7},
        {"name": ""},
        {"name": "\x00"},
        {"token_endpoint": "https://example.org/token"},
        {"token_endpoint": "https://example.org/token", "authorization_endpoint": "https://example.org/a"},
        {"token_endpoint": "nowhere", "authorization_endpoint": "https://example.org/a", "client_id": "mine"},
    ],
)
def test_what_cannot_be_connected_to_is_refused(api, fields):
    assert api("post", ROOT, {"name": "Files", "server_url": "https://example.org/mcp"} | fields)[0] == 400
    assert not Connection.objects.exists()


def test_a_user_has_so_many_connections_and_no_more(api, stub, settings):
    settings.PLUGINS_CONNECTIONS_PER_USER = 1
    assert api("post", ROOT, {"name": "Files", "server_url": stub.mcp_url})[0] == 202
    assert api("post", ROOT, {"name": "Files", "server_url": stub.mcp_url})[0] == 409
    assert api("post", ROOT, {"name": "Files", "server_url": stub.mcp_url}, user="bob")[0] == 202


def test_pages_of_connections_follow_one_another(api, people):
    alice = people["alice"]
    for number in range(PAGE + 2):
        Connection.objects.create(owner=alice, name=str(number), server_url="https://example.org", redirect_uri="x")
    first = api("get", ROOT)[1]
    second = api("get", f"{ROOT}?cursor={first['next'].replace('+', '%2B')}")[1]
    names = [each["name"] for each in first["results"] + second["results"]]
    assert names == [str(number) for number in reversed(range(PAGE + 2))]
    assert second["next"] is None
    assert api("get", f"{ROOT}?cursor=nonsense")[0] == 400


def test_the_public_address_is_where_browsers_come_back_to(api, stub, settings):
    settings.PLUGINS_PUBLIC_URL = "https://ai.example.org/"
    made = api("post", ROOT, {"name": "Files", "server_url": stub.mcp_url})[1]
    assert Connection.objects.get(pk=made["id"]).redirect_uri == "https://ai.example.org/oauth/callback"


@pytest.mark.parametrize("query", [{}, {"state": ""}, {"state": "x" * 5000, "code": "c"}, {"state": "\x00", "code": "c"}])
def test_an_unknown_state_is_a_page_that_says_so(client, people, query):
    response = client.get("/oauth/callback", query)
    assert response.status_code == 404
    assert services.UNKNOWN_STATE in response.content.decode()


def test_a_state_is_good_once(begun, client, feed, stub):
    _, (_, payload) = begun(stub.mcp_url)
    query = stub.approve(payload["authorization_url"])
    assert client.get("/oauth/callback", query).status_code == 200
    assert client.get("/oauth/callback", query).status_code == 404
    work_off()
    assert client.get("/oauth/callback", query).status_code == 404
    assert [type_ for type_, _ in feed()].count("mcp.oauth.completed") == 1


def test_an_expired_state_fails_the_connection(begun, client, feed, stub):
    id_, (_, payload) = begun(stub.mcp_url)
    Connection.objects.filter(pk=id_).update(state_expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get("/oauth/callback", stub.approve(payload["authorization_url"])).status_code == 400
    assert last(feed) == ("failed", {"task_id": payload["task_id"], "error": services.EXPIRED})


def test_a_refusal_at_the_authorization_server_fails_the_connection(begun, client, feed, stub):
    _, (_, payload) = begun(stub.mcp_url)
    query = stub.approve(payload["authorization_url"], error="access_denied", error_description="<b>no</b>")
    response = client.get("/oauth/callback", query)
    assert response.status_code == 400
    assert "&lt;b&gt;no&lt;/b&gt;" in response.content.decode()
    step, told = last(feed)
    assert step == "failed"
    assert "access_denied" in told["error"]


@pytest.mark.parametrize("issuer", ["https://elsewhere.example", "", "\u20ac"])
def test_an_answer_of_another_issuer_fails_the_connection(begun, client, feed, stub, issuer):
    _, (_, payload) = begun(stub.mcp_url)
    assert client.get("/oauth/callback", stub.approve(payload["authorization_url"], iss=issuer)).status_code == 400
    assert last(feed)[1]["error"] == services.WRONG_ISSUER
    work_off()
    assert "/token" not in stub.paths()


@pytest.mark.parametrize("code", ["", "c" * 10_000])
def test_an_answer_without_a_usable_code_fails_the_connection(begun, client, feed, stub, code):
    _, (_, payload) = begun(stub.mcp_url)
    assert client.get("/oauth/callback", stub.approve(payload["authorization_url"], code=code)).status_code == 400
    assert last(feed)[0] == "failed"


def test_another_users_browser_cannot_approve(begun, client, people, feed, stub):
    _, (_, payload) = begun(stub.mcp_url)
    client.force_login(people["bob"])
    assert client.get("/oauth/callback", stub.approve(payload["authorization_url"])).status_code == 400
    assert last(feed)[1]["error"] == services.WRONG_USER


def test_the_owner_may_be_logged_in(begun, client, people, stub):
    _, (_, payload) = begun(stub.mcp_url)
    client.force_login(people["alice"])
    assert client.get("/oauth/callback", stub.approve(payload["authorization_url"])).status_code == 200


def test_the_pages_of_the_admin_show_no_secret(begun, admin_client, client, stub):
    id_, (_, payload) = begun(stub.mcp_url)
    client.get("/oauth/callback", stub.approve(payload["authorization_url"]))
    row = Connection.objects.get(pk=id_)
    for page in ("", f"{id_}/change/"):
        text = admin_client.get(f"/admin/plugins/connection/{page}").content.decode()
        assert "Files" in text
        assert row.sealed_code not in text
        assert row.sealed_verifier not in text
