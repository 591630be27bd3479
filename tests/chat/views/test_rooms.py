"""Rooms over REST: what the bodies look like, and that every address knows who may."""

import uuid

import pytest

from accounts.threads import in_thread
from chat.models import Application
from chat.services import rooms
from chat.services.room_accounts import NewParticipant
from events.paging import PAGE
from tests.chat.asgi import Client
from tests.chat.conftest import _person, _token, ask

ROOMS = "/api/v1/rooms"


@pytest.fixture
def carol(organization):
    return _person("carol", organization)


@pytest.fixture
def carol_client(carol):
    return Client(token=_token(carol))


@pytest.fixture
def agent(organization):
    return Application.objects.create(public_id="app_1", organization=organization, name="Helper")


CAROL = {"account_id": "user_carol", "kind": "user"}
AGENT = {"account_id": "app_1", "kind": "agent", "auto_respond": True, "role": "member"}


async def made(client, *participants, **fields):
    answer = await client.post(ROOMS, body={"type": "standard", "participants": participants, "title": "Plans"} | fields)
    assert answer.status in (200, 201), answer.body
    return answer.json()


async def test_a_room_is_made_shown_renamed_and_deleted(alice_client, carol_client, carol, agent):
    answer = await alice_client.post(ROOMS, body={"type": "standard", "participants": [CAROL, AGENT], "title": "Plans"})
    assert answer.status == 201
    room = answer.json()
    path = f"{ROOMS}/{room['id']}"
    assert room["participants"][2] == {
        "account_id": "app_1",
        "kind": "agent",
        "name": "Helper",
        "role": "member",
        "auto_respond": True,
    }
    assert (await carol_client.get(path)).json()["role"] == "member"
    assert (await carol_client.request("PATCH", path, body={"title": "Mine"})).status == 403
    assert (await alice_client.request("PATCH", path, body={"title": "Other"})).json()["title"] == "Other"
    assert [each["title"] for each in (await carol_client.get(ROOMS)).json()["results"]] == ["Other"]
    assert (await alice_client.request("DELETE", path)).status == 204
    assert (await carol_client.get(path)).status == 404


async def test_an_immutable_room_is_201_once_and_200_again(alice_client, carol_client, carol):
    body = {"type": "immutable", "participants": [CAROL]}
    first = await alice_client.post(ROOMS, body=body)
    again = await carol_client.post(ROOMS, body={"type": "immutable", "participants": [{"account_id": "user_alice"}]})
    assert (first.status, again.status) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"type": "secret"}, "secret"),
        ({"participants": "user_carol"}, "participants"),
        ({"participants": [{"kind": "user"}]}, "account_id"),
        ({"participants": [{"account_id": "user_x", "kind": "robot"}]}, "robot"),
        ({"participants": [{"account_id": "user_x", "role": "king"}]}, "king"),
        ({"participants": [{"account_id": "user_x"}]}, "user_x is not an active user"),
        ({"title": "x" * 201}, "200"),
        ({"title": "a\x00"}, "NUL"),
        ([], ""),
        (b"{", ""),
    ],
)
async def test_a_body_that_is_none_is_a_clear_400(alice_client, body, says):
    answer = await alice_client.post(ROOMS, body=body)
    assert answer.status == 400
    assert says in answer.body.decode()


async def test_messages_are_posted_once_for_a_key_and_read_in_pages(alice_client, carol_client, carol, agent, settings):
    settings.CHAT_RUNNING_PER_USER = 0
    room = await made(alice_client, CAROL)
    path = f"{ROOMS}/{room['id']}/messages"
    for number in range(PAGE + 1):
        answer = await alice_client.post(path, body={"text": f"m{number}"}, headers={"Idempotency-Key": f"k{number}"})
        assert answer.status == 201
    again = await alice_client.post(path, body={"text": f"m{PAGE}"}, headers={"Idempotency-Key": f"k{PAGE}"})
    assert again.json()["id"] == answer.json()["id"]
    assert (await alice_client.post(path, body={"text": "other"}, headers={"Idempotency-Key": "k0"})).status == 409
    newest = (await carol_client.get(path)).json()
    older = (await carol_client.get(f"{path}?cursor={newest['next']}")).json()
    assert [each["text"] for each in older["results"] + newest["results"]] == [f"m{number}" for number in range(PAGE + 1)]
    assert older["next"] is None
    assert (await carol_client.get(f"{path}?cursor=x")).status == 400


async def test_a_message_names_the_answers_that_have_begun(alice_client, agent):
    room = await made(alice_client, AGENT)
    posted = (await alice_client.post(f"{ROOMS}/{room['id']}/messages", body={"text": "hello"})).json()
    assert posted.items() >= {"role": "user", "text": "hello", "position": 1, "status": None}.items()
    found = (await alice_client.get(f"{ROOMS}/{room['id']}/messages")).json()["results"]
    assert [each["id"] for each in found] == [posted["id"], *posted["answers"]]
    assert found[1].items() >= {"question_id": posted["id"], "status": "queued"}.items()
    assert found[1]["author"] == {"account_id": "app_1", "kind": "agent", "name": "Helper"}
    tail = await alice_client.get(f"/api/messages/{posted['answers'][0]}/tail")
    assert (tail.status, tail.json()["status"]) == (200, "queued")


@pytest.mark.parametrize("body", [{"text": " "}, {}, {"text": "x" * 200_001}, {"text": "a", "application_id": "app_9"}])
async def test_a_message_that_is_none_is_refused(alice_client, body):
    room = await made(alice_client)
    assert (await alice_client.post(f"{ROOMS}/{room['id']}/messages", body=body)).status == 400


async def test_participants_are_added_changed_and_removed(alice_client, carol_client, carol, agent):
    room = await made(alice_client)
    path = f"{ROOMS}/{room['id']}/participants"
    assert [(await alice_client.post(path, body=CAROL)).status for _ in range(2)] == [201, 200]
    assert (await alice_client.post(path, body=AGENT)).status == 201
    changed = await alice_client.request("PATCH", f"{path}/app_1", body={"auto_respond": False})
    assert (changed.status, changed.json()["auto_respond"]) == (200, False)
    for body in ({}, {"role": "owner"}):
        assert (await alice_client.request("PATCH", f"{path}/app_1", body=body)).status == 400
    assert (await carol_client.post(path, body=AGENT)).status == 403
    found = (await carol_client.get(path)).json()["results"]
    assert [each["account_id"] for each in found] == ["user_alice", "user_carol", "app_1"]
    assert (await carol_client.request("DELETE", f"{path}/user_carol")).status == 204
    assert (await carol_client.get(path)).status == 404
    assert (await alice_client.request("DELETE", f"{path}/user_alice")).status == 409


async def test_unread_messages_are_counted_and_read(alice_client, carol_client, carol):
    room = await made(alice_client, CAROL)
    for _ in range(3):
        posted = (await alice_client.post(f"{ROOMS}/{room['id']}/messages", body={"text": "x"})).json()
    assert (await carol_client.get(ROOMS)).json()["results"][0]["unread"] == 3
    path = f"{ROOMS}/{room['id']}/read"
    assert (await carol_client.post(path, body={"message_id": posted["id"]})).json() == {"unread": 0}
    assert (await carol_client.post(path, body={})).json() == {"unread": 0}
    assert (await carol_client.post(path, body={"message_id": "x"})).status == 400
    assert (await carol_client.post(path, body={"message_id": str(uuid.uuid4())})).status == 404


async def test_who_can_be_in_a_room(alice_client, carol, agent):
    (found,) = (await alice_client.get(f"{ROOMS}/accounts")).json()["results"]
    assert found["people"] == [{"id": "user_carol", "name": "carol"}]
    assert found["agents"] == [{"id": "app_1", "name": "Helper"}]


async def test_every_address_is_404_for_others_and_401_without_a_credential(alice, bob_client, carol):
    room, _ = await in_thread(rooms.create, caller=alice, type="standard", participants=[NewParticipant("user_carol")])
    base = f"{ROOMS}/{room.pk}"
    requests = [
        ("GET", base, b""),
        ("PATCH", base, {"title": "x"}),
        ("DELETE", base, b""),
        ("GET", f"{base}/participants", b""),
        ("POST", f"{base}/participants", {"account_id": "user_bob"}),
        ("PATCH", f"{base}/participants/user_carol", {"role": "owner"}),
        ("DELETE", f"{base}/participants/user_carol", b""),
        ("DELETE", f"{base}/participants/user_bob", b""),
        ("GET", f"{base}/messages", b""),
        ("POST", f"{base}/messages", {"text": "x"}),
        ("POST", f"{base}/read", {}),
    ]
    for method, path, body in requests:
        assert (await bob_client.request(method, path, body=body)).status == 404, (method, path)
        assert (await Client().request(method, path, body=body)).status == 401, (method, path)
        odd = path.replace(str(room.pk), "not-an-id")
        assert (await bob_client.request(method, odd, body=body)).status == 400, (method, odd)
    assert (await Client().get(ROOMS)).status == (await Client().get(f"{ROOMS}/accounts")).status == 401


@pytest.mark.parametrize("is_room", [True, False])
def test_the_page_of_a_room_leads_to_the_chat_page_for_what_is_none(stores, alice, client, is_room):
    from accounts.models import User

    client.force_login(User.objects.get(pk=alice.pk))
    found = rooms.create(caller=alice, type="standard", participants=[])[0] if is_room else ask(alice).conversation
    answer = client.get(f"/rooms/{found.pk}")
    assert (answer.status_code, answer.headers.get("Location")) == ((200, None) if is_room else (302, f"/?c={found.pk}"))
    assert client.get("/rooms/odd").status_code == 200
