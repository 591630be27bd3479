import uuid

import pytest

from accounts.models import Organization
from accounts.threads import in_thread
from chat.models import Application, Run
from tests.chat.asgi import Client
from tests.chat.conftest import ask

pytestmark = pytest.mark.usefixtures("stores")

LIST = "/api/v1/conversations"


async def test_conversations_over_rest(alice, alice_client):
    answer = await in_thread(ask, alice, "Why?")
    listed = (await alice_client.get(LIST)).json()
    (row,) = listed["results"]
    assert (row["id"], row["title"], row["running_message_id"]) == (str(answer.conversation_id), "Why?", str(answer.pk))
    assert listed["next"] is None
    one = f"{LIST}/{answer.conversation_id}"
    assert (await alice_client.get(one)).json() == row
    renamed = await alice_client.request("PATCH", one, body={"title": " New "})
    assert (renamed.status, renamed.json()["title"]) == (200, "New")
    messages = (await alice_client.get(f"{one}/messages")).json()
    assert [each["role"] for each in messages["results"]] == ["user", "assistant"]
    assert messages["next"] is None
    running = await alice_client.request("DELETE", one)
    assert running.status == 400
    assert "Stop it first" in running.json()["detail"]
    await in_thread(Run.objects.update, status="completed")
    assert (await alice_client.request("DELETE", one)).status == 204
    assert (await alice_client.get(one)).status == 404


ADDRESSES = [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/messages")]


@pytest.mark.parametrize(("method", "what"), ADDRESSES)
async def test_strangers_get_401_and_others_404(alice, bob_client, method, what):
    answer = await in_thread(ask, alice)
    address = f"{LIST}/{answer.conversation_id}{what}"
    stranger = await Client().request(method, address, body={"title": "x"})
    assert stranger.status == 401
    assert set(stranger.json()) == {"detail", "code"}
    theirs = await bob_client.request(method, address, body={"title": "x"})
    nobodys = await bob_client.request(method, f"{LIST}/{uuid.uuid4()}{what}", body={"title": "x"})
    assert theirs.status == nobodys.status == 404
    assert theirs.body == nobodys.body


@pytest.mark.parametrize(("method", "what"), ADDRESSES)
async def test_an_id_that_is_none_is_400(alice_client, method, what):
    answer = await alice_client.request(method, f"{LIST}/nothing{what}", body={"title": "x"})
    assert answer.status == 400
    assert "conversation_id must be a UUID" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["cursor=x", "cursor=%00", "cursor=1~x"])
async def test_a_cursor_that_is_none_is_400(alice_client, query):
    assert (await alice_client.get(f"{LIST}?{query}")).status == 400


@pytest.mark.parametrize("before", ["x", "-1", "1.5", "9" * 10, "%00", "%D9%A1"])
async def test_a_before_that_is_none_is_400(alice, alice_client, before):
    answer = await in_thread(ask, alice)
    assert (await alice_client.get(f"{LIST}/{answer.conversation_id}/messages?before={before}")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"1", b"{}", b"\xff", b"[" * 100_000),
        *(b'{"title": ""}', b'{"title": null}', b'{"title": []}', b'{"title": "\\u0000"}', b'{"title": "\\ud800"}'),
        b'{"title": "' + b"a" * 201 + b'"}',
    ],
)
async def test_a_body_that_is_no_title_is_400(alice, alice_client, body):
    answer = await in_thread(ask, alice, "Old")
    refused = await alice_client.request("PATCH", f"{LIST}/{answer.conversation_id}", body=body)
    assert refused.status == 400
    assert refused.json()
    assert (await alice_client.get(f"{LIST}/{answer.conversation_id}")).json()["title"] == "Old"


async def test_a_body_that_is_too_large_is_refused_unread(alice, alice_client):
    answer = await in_thread(ask, alice)
    body = b'{"title": "' + b"a" * 3_000_000 + b'"}'
    refused = await alice_client.request("PATCH", f"{LIST}/{answer.conversation_id}", body=body)
    assert refused.status == 400
    assert "larger than 64 KiB" in refused.json()["detail"]


async def test_the_applications_that_the_caller_may_ask(alice, alice_client, bob_client, organization):
    make = Application.objects.acreate
    first = await make(public_id="app_b", name="One", organization=organization, tools=["calculator"], system_prompt="Hidden.")
    await make(public_id="app_a", name="Other", organization=organization, engine="extractive")
    elsewhere = await Organization.objects.acreate(public_id="org_elsewhere", name="Elsewhere")
    await make(public_id="app_c", name="Not hers", organization=elsewhere)
    told = (await alice_client.get("/api/v1/applications")).json()
    assert told == {
        "results": [
            {"id": "app_a", "name": "Other", "organization": "org_tests", "engine": "extractive", "tools": []},
            {"id": "app_b", "name": "One", "organization": "org_tests", "engine": "", "tools": ["calculator"]},
        ],
        "next": None,
    }
    assert (await alice_client.get("/api/v1/applications?cursor=app_a")).json()["results"] == told["results"][1:]
    assert (await bob_client.get("/api/v1/applications")).json()["results"] == []
    assert (await Client().get("/api/v1/applications")).status == 401
    answer = await in_thread(ask, alice, application_id="app_b")
    conversation = (await alice_client.get(f"{LIST}/{answer.conversation_id}")).json()
    assert conversation["application"] == {"id": "app_b", "name": "One"}
    assert (await alice_client.get(LIST)).json()["results"] == [conversation]
    await first.adelete()
    assert (await alice_client.get(LIST)).json()["results"][0]["application"] is None
