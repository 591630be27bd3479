import pytest

from accounts.threads import in_thread
from chat.models import Application
from chat.services import sessions
from chat.services.questions import Question, ask
from events.paging import PAGE
from tests.chat.asgi import Client
from tests.chat.conftest import _person, _token


@pytest.fixture
def carol(organization):
    return _person("carol", organization)


@pytest.fixture
def carol_client(carol):
    return Client(token=_token(carol))


@pytest.fixture
def application(organization):
    return Application.objects.create(public_id="app_1", organization=organization, name="One")


async def asked(caller, name="abc", text="hello", **fields):
    session = await in_thread(sessions.resolve, caller=caller, name=name)
    return await in_thread(ask, caller=caller, question=Question(text, session=session, **fields))


async def test_messages_with_an_application_come_in_pages_oldest_first(alice_client, alice, application, settings):
    settings.CHAT_RUNNING_PER_USER = 0
    for number in range(PAGE // 2 + 1):
        await asked(alice, text=f"q{number}", application_id="app_1")
    await asked(alice, text="without an application")
    newest = (await alice_client.get("/api/v1/chat/app_1/messages")).json()
    older = (await alice_client.get(f"/api/v1/chat/app_1/messages?cursor={newest['next']}")).json()
    found = older["results"] + newest["results"]
    assert [each["text"] for each in found if each["role"] == "user"] == [f"q{number}" for number in range(PAGE // 2 + 1)]
    assert (len(newest["results"]), older["next"]) == (PAGE, None)
    assert found[0].items() >= {"user_id": "user_alice", "status": None}.items()
    assert found[1].items() >= {"user_id": None, "status": "queued", "chat_id": found[0]["chat_id"]}.items()
    assert found[0]["session_id"] == found[1]["session_id"]


async def test_they_are_the_callers_and_the_application_is_of_his_organisation(
    alice_client, bob_client, carol_client, alice, application
):
    await asked(alice, application_id="app_1")
    assert (await carol_client.get("/api/v1/chat/app_1/messages")).json() == {"results": [], "next": None}
    for client, path in ((bob_client, "app_1"), (alice_client, "app_2")):
        answer = await client.get(f"/api/v1/chat/{path}/messages")
        assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert (await alice_client.get("/api/v1/chat/app_1/messages?cursor=x")).status == 400
    assert (await Client().get("/api/v1/chat/app_1/messages")).status == 401


async def test_sessions_are_listed_shown_and_read(alice_client, alice, carol_client, carol):
    answer = await asked(alice)
    added = await alice_client.post("/api/v1/chat/sessions/abc/participants", body={"user": "user_carol"})
    assert added.status == 200
    assert added.json()["participants"] == ["user_alice", "user_carol"]
    for client in (alice_client, carol_client):
        listed = (await client.get("/api/v1/chat/sessions")).json()
        assert [each["name"] for each in listed["results"]] == ["abc"]
        one = (await client.get("/api/v1/chat/sessions/abc")).json()
        assert one == listed["results"][0] | {"running": [str(answer.pk)]}
        assert one.items() >= {"owner": "user_alice", "name": "abc"}.items()
        read = (await client.get(f"/api/v1/chat/sessions/{one['id']}/messages")).json()
        assert [each["role"] for each in read["results"]] == ["user", "assistant"]


async def test_a_session_of_others_or_of_nothing_is_not_there(alice, bob_client, alice_client):
    await asked(alice)
    for client, path in (
        (bob_client, "abc"),
        (bob_client, "abc/messages"),
        (alice_client, "abd"),
        (alice_client, "abd/messages"),
    ):
        assert (await client.get(f"/api/v1/chat/sessions/{path}")).status == 404


async def test_people_are_added_and_removed(alice_client, carol_client, bob, carol):
    path = "/api/v1/chat/sessions/abc/participants"
    assert (await alice_client.post(path, body={"user": "user_bob"})).status == 404
    assert (await alice_client.post(path, body={})).status == 400
    assert (await alice_client.post(path, body={"user": "user_carol"})).status == 200
    assert (await carol_client.post(path, body={"user": "user_alice"})).status == 403
    assert (await alice_client.request("DELETE", f"{path}/user_alice")).status == 409
    assert (await alice_client.request("DELETE", f"{path}/user_carol")).status == 204
    assert (await carol_client.get("/api/v1/chat/sessions/abc")).status == 404
