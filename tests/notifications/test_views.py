"""The inbox and notifying over REST."""

import uuid

import pytest

from accounts import services as accounts
from accounts.models import User
from events.paging import PAGE
from notifications.models import Notification
from tests.notifications.conftest import ROOT, tell


def test_staff_notifies_one_or_many(api, feed):
    status, one = api("post", "", {"user": "user_alice", "title": "Hello", "body": "b", "action_url": "/sources"}, user="ops")
    assert status == 201
    many = api("post", "", {"users": ["user_bob", "user_alice"], "title": "Both", "priority": "critical"}, user="ops")[1]
    assert len(many["ids"]) == 2
    body = api("get")[1]
    assert [each["id"] for each in body["results"]] == [many["ids"][1], *one["ids"]]
    assert body["results"][1] | {"created_at": ""} == {
        "id": one["ids"][0],
        "title": "Hello",
        "body": "b",
        "action_url": "/sources",
        "priority": "normal",
        "state": "unseen",
        "created_at": "",
        "seen_at": None,
        "read_at": None,
        "archived_at": None,
    }
    assert body["counts"] == {"unseen": 2, "seen": 0, "read": 0, "archived": 0, "unread": 2}
    assert api("get", "/counts")[1] == {"counts": body["counts"]}


def test_the_same_idempotency_key_is_the_same_notification(api, feed):
    body = {"user": "user_alice", "title": "Hello", "idempotency_key": "k"}
    assert api("post", "", body, user="ops") == api("post", "", body, user="ops")
    assert len(feed()) == 1


def test_a_service_account_notifies_with_its_api_key(client, feed, people):
    key = accounts.issue_api_key(user_pk=people["ops"].pk, name="service").key
    body = {"user": "user_alice", "title": "Hello"}
    response = client.post(ROOT, body, content_type="application/json", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 201


def test_others_notify_nobody(api, client):
    assert api("post", "", {"user": "user_bob", "title": "Hello"})[0] == 403
    assert client.post(ROOT, {"user": "user_bob", "title": "x"}, content_type="application/json").status_code == 401
    assert client.get(ROOT).status_code == 401
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"user": "nobody"}, 404, "nobody"),
        ({"users": ["user_bob", "nobody"], "user": None}, 404, "nobody"),
        ({"user": None}, 400, "Give either user"),
        ({"users": ["user_bob"]}, 400, "Give either user"),
        ({"users": [], "user": None}, 400, "users"),
        ({"users": [f"user_{n}" for n in range(101)], "user": None}, 400, "At most 100 users"),
        ({"title": None}, 400, "title"),
        ({"title": 7}, 400, "title"),
        ({"title": "\x00"}, 400, "title"),
        ({"title": "x" * 201}, 400, "at most 200"),
        ({"body": "x" * 2001}, 400, "at most 2000"),
        ({"action_url": "javascript:alert(1)"}, 400, "action_url must be"),
        ({"priority": "urgent"}, 400, "urgent"),
        ({"idempotency_key": "x" * 256}, 400, "at most 255"),
    ],
)
def test_what_is_wrong_is_said_and_nobody_is_told(api, feed, fields, status, says):
    body = {"user": "user_alice", "title": "Hello"} | fields
    answer = api("post", "", {name: value for name, value in body.items() if value is not None}, user="ops")
    assert answer[0] == status
    assert says in str(answer[1])
    assert not Notification.objects.exists()


@pytest.mark.parametrize("body", ["not an object", [], None, 7])
def test_a_body_that_is_no_object_is_refused(client, api, body):
    for path in ("", "/actions"):
        assert api("post", path, body if body is not None else "null", user="ops")[0] == 400


def test_actions_for_one(api, people):
    (id,) = tell(people["alice"], "t")
    for action, ends in [("seen", "seen"), ("read", "read"), ("unread", "seen"), ("archive", "archived"), ("unarchive", "seen")]:
        status, body = api("post", f"/{id}/{action}")
        assert (status, body["counts"][ends]) == (200, 1)
        assert api("get", f"/{id}")[1]["state"] == ends
    assert api("post", f"/{id}/delete")[1]["counts"]["unread"] == 0
    assert api("get", f"/{id}")[0] == 404
    assert [api("delete", f"/{id}")[0] for _ in range(2)] == [204, 204]


def test_what_is_anothers_is_not_there(api, people):
    (id,) = tell(people["bob"], "t")
    assert api("get", f"/{id}")[0] == 404
    assert api("delete", f"/{id}")[0] == 404
    assert api("post", f"/{id}/read")[0] == 404
    assert api("post", "/actions", {"action": "read", "ids": [str(id)]})[0] == 404
    assert api("post", f"/{uuid.uuid4()}/read")[0] == 404
    assert api("post", f"/{id}/explode", user="bob")[0] == 404
    assert api("get", "/nonsense")[0] == 400
    assert api("post", "/nonsense/read")[0] == 400
    assert api("get", "?state=unseen", user="bob")[1]["counts"]["unseen"] == 1


def test_actions_for_many(api, people):
    first, second, third = tell(people["alice"], "1", "2", "3")
    assert api("post", "/actions", {"action": "read", "ids": [str(first), str(second)]})[1]["counts"]["read"] == 2
    until = api("get", f"/{second}")[1]["created_at"]
    assert api("post", "/actions", {"action": "archive", "all": True, "until": until})[1]["counts"]["archived"] == 2
    assert api("get", f"/{third}")[1]["state"] == "unseen"
    assert api("post", "/actions", {"action": "delete", "all": True, "state": "archived"})[1]["counts"]["unseen"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "delete"},
        {"action": "delete", "all": False},
        {"action": "delete", "ids": []},
        {"action": "delete", "ids": ["x"]},
        {"action": "delete", "ids": "x"},
        {"action": "delete", "ids": [str(uuid.uuid4())], "all": True},
        {"action": "delete", "ids": [str(uuid.uuid4())], "state": "read"},
        {"action": "delete", "ids": [str(uuid.uuid4()) for _ in range(101)]},
        {"action": "explode", "all": True},
        {"action": "delete", "all": True, "state": "everything"},
        {"action": "delete", "all": True, "until": "tomorrow"},
    ],
)
def test_an_action_for_nothing_that_is_said_deletes_nothing(api, people, body):
    tell(people["alice"], "t")
    assert api("post", "/actions", body)[0] == 400
    assert api("get")[1]["counts"]["unseen"] == 1


def test_pages_follow_one_another(api, people):
    tell(people["alice"], *map(str, range(PAGE + 2)))
    first = api("get", "?state=unseen")[1]
    second = api("get", f"?state=unseen&cursor={first['next']}")[1]
    titles = [each["title"] for each in first["results"] + second["results"]]
    assert titles == [str(n) for n in reversed(range(PAGE + 2))]
    assert second["next"] is None
    assert api("get", "?cursor=nonsense")[0] == 400
    assert api("get", "?state=nonsense")[0] == 400


def test_the_page_is_for_who_is_logged_in(client):
    assert client.get("/notifications").headers["Location"] == "/login?next=/notifications"
    client.force_login(User.objects.get(username="alice"))
    page = client.get("/notifications").content.decode()
    assert 'href="/notifications" aria-current="page"' in page
