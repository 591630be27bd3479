"""Rules, preferences, activity and push subscriptions over REST."""

import pytest

from accounts.models import Organization
from notifications.models import Activity, Rule
from notifications.rules import LONGEST_SECONDS
from tests.notifications.mailbox import Browser
from tests.notifications.rules import FIELDS, ORG, happen, organization

SELF = {"recipients": ["user:user_alice"]}


@pytest.fixture(autouse=True)
def acme(people, feed):
    return organization(people)


def test_an_admin_makes_changes_and_deletes_a_rule(api):
    body = FIELDS | {"throttle": {"limit": 3, "seconds": 60}, "digest": {"seconds": 300}, "condition": "payload.number > 1"}
    status, made = api("post", "/rules", body | {"organization": ORG}, user="ops")
    assert status == 201
    assert {name: made[name] for name in body} == body
    assert (made["owner"], made["organization"], made["enabled"], made["priority"]) == ("user_ops", ORG, True, "normal")
    status, changed = api("patch", f"/rules/{made['id']}", {"enabled": False, "throttle": None}, user="ops")
    assert (status, changed["enabled"], changed["throttle"], changed["digest"]) == (200, False, None, {"seconds": 300})
    assert api("get", f"/rules/{made['id']}", user="ops")[1] == changed
    assert api("delete", f"/rules/{made['id']}", user="ops")[0] == 204
    assert api("get", f"/rules/{made['id']}", user="ops")[0] == 404


def test_the_list_has_the_built_in_ones(api):
    found = api("get", "/rules", user="alice")[1]["results"]
    assert sorted(each["builtin"] for each in found) == ["conversation_created", "new_message", "task_completed", "task_failed"]
    status, body = api("patch", f"/rules/{found[0]['id']}", {"enabled": False}, user="alice")
    assert status == 403
    assert "preferences" in body["detail"]
    assert api("patch", f"/rules/{found[0]['id']}", {"enabled": False}, user="ops")[0] == 200
    assert api("delete", f"/rules/{found[0]['id']}", user="ops")[0] == 409


def test_members_tell_only_themselves(api):
    assert api("post", "/rules", FIELDS)[0] == 403
    status, made = api("post", "/rules", FIELDS | SELF)
    assert status == 201
    assert api("patch", f"/rules/{made['id']}", {"recipients": ["members"]})[0] == 403
    assert api("get", f"/rules/{made['id']}", user="bob")[0] == 404
    assert made["id"] not in [each["id"] for each in api("get", "/rules", user="bob")[1]["results"]]
    assert made["id"] in [each["id"] for each in api("get", "/rules")[1]["results"]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pattern": "events.org_acme.shop"}, "form"),
        ({"pattern": "events.org_other.shop.order.placed.*"}, "about its events"),
        ({"pattern": "events.org_acme.shop.>.placed.*"}, "segment"),
        ({"condition": "payload.x ="}, "condition"),
        ({"title": "{{ payload."}, "title"),
        ({"title": " "}, "title"),
        ({"body": "{% for x in payload %}{% endfor %}"}, "body: loops"),
        ({"action_url": "{{ x }}"}, "action_url"),
        ({"channels": []}, "channels"),
        ({"channels": ["sms"]}, "channels"),
        ({"recipients": []}, "recipients"),
        ({"recipients": ["everybody"]}, "recipients"),
        ({"recipients": ["role:king"]}, "role"),
        ({"priority": "urgent"}, "priority"),
        ({"throttle": {"limit": 0, "seconds": 1}}, "limit"),
        ({"throttle": {"limit": 1}}, "seconds"),
        ({"digest": {"seconds": LONGEST_SECONDS + 1}}, "digest"),
        ({"name": "x" * 201}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_wrong_is_refused_with_words(api, wrong, words):
    status, body = api("post", "/rules", FIELDS | wrong, user="ops")
    assert status == 400
    assert words in str(body)
    assert not Rule.objects.filter(builtin="").exists()


def test_another_organisation_is_not_there(api):
    Organization.objects.create(public_id="org_other", name="Other")
    assert api("get", "/rules?organization=org_other")[0] == 404
    assert api("post", "/rules", FIELDS | SELF | {"organization": "org_other"})[0] == 404


def test_the_number_of_rules_is_bounded(api, settings):
    settings.NOTIFICATIONS_RULES_MAX = 1
    assert api("post", "/rules", FIELDS, user="ops")[0] == 201
    status, body = api("post", "/rules", FIELDS, user="ops")
    assert status == 429
    assert "at most 1" in body["detail"]


def test_a_dry_run_tells_what_would_have_been_told_and_tells_nobody(api, feed):
    for number in range(4):
        happen(number)
    happen(9, event="paid")
    status, found = api("post", "/rules/rehearsal", FIELDS | {"condition": "payload.number > 1"}, user="ops")
    assert status == 200
    assert (found["looked_at"], found["matched"]) == (5, 2)
    assert [each["title"] for each in found["results"]] == ["Order 3", "Order 2"]
    assert [each["username"] for each in found["results"][0]["recipients"]] == ["alice", "bob", "ops"]
    found = api("post", "/rules/rehearsal", FIELDS | {"title": "{{ payload.nope }}"}, user="ops")[1]
    assert "nope" in found["results"][0]["failure"]
    assert api("post", "/rules/rehearsal", FIELDS)[0] == 403
    assert not Rule.objects.filter(builtin="").exists()
    assert feed() == []


def test_preferences_are_set_and_told(api):
    assert api("get", "/preferences") == (200, {"choices": [], "quiet": None})
    quiet = {"begins": "22:00", "ends": "07:00", "time_zone": "Europe/Berlin"}
    body = {"choices": [{"channel": "email", "enabled": False}], "quiet": quiet}
    status, told = api("patch", "/preferences", body)
    assert status == 200
    assert told == {"choices": [{"rule": None, "channel": "email", "enabled": False}], "quiet": quiet}
    assert api("patch", "/preferences", {"quiet": None})[1]["quiet"] is None
    status, body = api("patch", "/preferences", {"quiet": quiet | {"time_zone": "Mars"}})
    assert status == 400
    assert "time zone" in body["detail"]


def test_activity_is_noted(api, people):
    assert api("post", "/activity", {})[0] == 204
    assert api("post", "/activity", {})[0] == 204
    assert Activity.objects.get().user == people["alice"]


def test_a_browser_subscribes_with_the_key(api, client, people):
    key = api("get", "/api/v1/push/key")[1]["key"]
    assert len(key) == 87
    subscription = Browser(type("S", (), {"origin": "https://push.example.org"}), "one").subscription
    assert api("post", "/api/v1/push/subscriptions", subscription)[0] == 201
    assert api("post", "/api/v1/push/subscriptions", subscription)[0] == 201
    assert api("delete", "/api/v1/push/subscriptions", {"endpoint": subscription["endpoint"]})[0] == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "http://push.example.org/x"},
        {"endpoint": "https://user@push.example.org/x"},
        {"endpoint": "https://[::1"},
        {"keys": {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}},
        {"keys": {"p256dh": "not base64!", "auth": "x"}},
    ],
)
def test_what_no_browser_sends_is_refused(api, wrong):
    subscription = Browser(type("S", (), {"origin": "https://push.example.org"}), "one").subscription
    assert api("post", "/api/v1/push/subscriptions", subscription | wrong)[0] == 400


def test_the_service_worker_may_work_for_all_pages(client):
    response = client.get("/notifications/push-worker.js")
    assert response.status_code == 200
    assert response.headers["Service-Worker-Allowed"] == "/"
    assert response.headers["Content-Type"].startswith("text/javascript")
