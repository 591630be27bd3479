"""`/api/v1/webhooks` as admins of organisations use it: registered, looked at, changed, tested, sent again, deleted."""

import json

import pytest

from accounts import services as accounts
from accounts.models import Membership
from accounts.recent import recent_callers
from events.models import WebhookDelivery, WebhookEndpoint
from tests.events.topics import asking as topics
from tests.events.webhooks.receiver import ALL, ORG, Receiver, happen, is_signed, work

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["accounts", "events"])

ROOT = "/api/v1/webhooks"


@pytest.fixture(autouse=True)
def people(valkey, settings):
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    return {
        "ada": topics.user("ada", ORG, role=Membership.Role.ADMIN),
        "bob": topics.user("bob", ORG),
        "eve": topics.user("eve", "org_other", role=Membership.Role.ADMIN),
    }


@pytest.fixture
def api(client, people):
    """Calls the API as ada, or as another: (status, body)."""

    def call(method, path="", body=None, *, user="ada"):
        token = accounts.access_token_for(user=people[user])
        options = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(client, method)(f"{ROOT}{path}", headers={"Authorization": f"Bearer {token}"}, **options)
        return response.status_code, response.json() if response.content else None

    return call


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def test_a_webhook_from_its_registration_to_its_end(api, receiver):
    status, made = api("post", "", {"url": receiver.url, "patterns": [ALL], "description": "Shop"})
    assert status == 201
    path, secret = f"/{made['id']}", made["secret"]
    assert (made["organization"], made["enabled"], made["form"], made["off_reason"]) == (ORG, True, "event", "")
    assert "secret" not in api("get", path)[1]
    assert [each["id"] for each in api("get")[1]["results"]] == [made["id"]]

    status, delivery = api("post", f"{path}/test")
    assert (status, delivery["status"]) == (202, "pending")
    receiver.answers.append((500, {}, b"no"))
    happen()
    work()
    assert is_signed(receiver.requests[0], secret)
    listed = api("get", f"{path}/deliveries")[1]["results"]
    assert sorted(each["status"] for each in listed) == ["delivered", "failed"]
    [failed] = api("get", f"{path}/deliveries?status=failed")[1]["results"]
    assert (failed["status_code"], failed["answer"], failed["attempts"]) == (500, "no", 1)
    status, again = api("post", f"{path}/deliveries/{failed['id']}/redeliver")
    assert (status, again["status"], again["attempts"]) == (202, "pending", 0)
    work()
    status, whole = api("get", f"{path}/deliveries/{failed['id']}")
    assert (status, whole["status"], whole["next_attempt"]) == (200, "delivered", None)
    assert whole["body"].encode() == receiver.requests[-1][1]

    WebhookDelivery.objects.update(status="dead")
    assert api("post", f"{path}/deliveries/redeliver") == (202, {"count": 2})
    status, rotated = api("post", f"{path}/secret", {})
    assert status == 200
    assert rotated["secret"] not in ("", secret)
    assert rotated["old_secret_until"] is not None
    status, changed = api("patch", path, {"enabled": False, "form": "cloudevents"})
    assert (status, changed["enabled"], changed["form"]) == (200, False, "cloudevents")
    assert api("post", f"{path}/test")[0] == 409
    assert api("delete", path)[0] == 204
    assert api("get", path)[0] == 404
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"patterns": [ALL]}, "url"),
        ({"url": "https://example.org/"}, "patterns"),
        ({"url": 7, "patterns": [ALL]}, "url"),
        ({"url": "example.org", "patterns": [ALL]}, "url"),
        ({"url": "https://example.org/", "patterns": ALL}, "patterns"),
        ({"url": "https://example.org/", "patterns": ["events.org_other.*.*.*.*"]}, "patterns"),
        ({"url": "https://example.org/", "patterns": [ALL], "form": "xml"}, "form"),
        ({"url": "https://example.org/", "patterns": [ALL], "enabled": "maybe"}, "enabled"),
        ({"url": "https://example.org/", "patterns": [ALL], "secret": "short"}, "secret"),
        ({"url": "https://example.org/", "patterns": [ALL], "description": "x" * 300}, "description"),
    ],
)
def test_what_is_wrong_is_named(api, body, words):
    status, answer = api("post", "", body)
    assert status == 400
    assert words in json.dumps(answer)


def test_what_others_registered_is_not_there_and_members_see_none(api):
    _, made = api("post", "", {"url": "https://example.org/", "patterns": [ALL]})
    asked = [("get", ""), ("patch", ""), ("delete", ""), ("post", "/secret"), ("post", "/test"), ("get", "/deliveries")]
    for method, path in asked:
        body = {} if method in ("post", "patch") else None
        assert api(method, f"/{made['id']}{path}", body, user="bob")[0] == 403
        assert api(method, f"/{made['id']}{path}", body, user="eve")[0] == 404
    assert api("get", "", user="bob")[0] == 403
    assert api("get", f"?organization={ORG}", user="eve")[0] == 404
    assert api("get", "/nonsense")[0] == 400
    assert api("get", f"/{made['id']}/deliveries?status=late")[0] == 400
    assert api("get", f"/{made['id']}/deliveries/{made['id']}")[0] == 404


def test_answers_are_for_no_cache(client, people):
    token = accounts.access_token_for(user=people["ada"])
    answer = client.get(ROOT, headers={"Authorization": f"Bearer {token}"})
    assert answer["Cache-Control"] == "no-store"
