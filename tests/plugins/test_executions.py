"""Plugins and executions: over REST, and what holds when many write at once or a store is away."""

import threading
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from accounts import services as accounts
from accounts.models import Membership, Organization, User
from accounts.recent import recent_callers
from accounts.threads import submit
from events import batches, journal
from events.event import START
from events.models import DurableStream
from plugins import executions
from plugins.execution_events import Type
from plugins.masking import MASK
from plugins.models import Execution

ROOT = "/api/v1/plugins"


@pytest.fixture
def organization(people):
    made = Organization.objects.create(public_id="org_one", name="One")
    Membership.objects.create(organization=made, user=people["alice"])
    recent_callers.clear()
    return made


@pytest.fixture
def plugin(api, organization, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    status, made = api("post", ROOT, {"name": "Weather", "tools": [{"name": "forecast", "description": "Tomorrow"}]})
    assert status == 201, made
    return made


@pytest.fixture
def execution(api, plugin):
    status, made = api(
        "post", f"{ROOT}/{plugin['id']}/executions", {"tool_name": "forecast", "input": {"city": "Bergen", "api_key": "k"}}
    )
    assert status == 201, made
    return made


@pytest.fixture
def report(client, execution, people):
    """Sends a batch: (status, body)."""

    def send(events, *, key="", user="alice", execution_id=execution["id"]):
        token = accounts.access_token_for(user=User.objects.get(username=user))
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        path = f"{ROOT}/executions/{execution_id}/events"
        response = client.post(path, {"events": events}, content_type="application/json", headers=headers)
        return response.status_code, response.json()

    return send


def log(number):
    return {"type": "log", "data": {"message": str(number)}}


def seqs(execution_id):
    return [event.id.major for event in journal.read(executions.execution_stream(execution_id), START)]


def test_an_execution_from_beginning_to_end(api, plugin, execution, report):
    assert execution["status"] == "pending"
    assert execution["input"] == {"city": "Bergen", "api_key": MASK}
    assert report([{"type": "step", "data": {"name": "parse", "status": "started"}}, log(1)]) == (201, {"first": 1, "last": 2})
    assert api("get", f"{ROOT}/executions/{execution['id']}")[1]["status"] == "running"
    assert report([{"type": "execution_complete", "data": {"result": {"rain": True}}}])[0] == 201
    told = api("get", f"{ROOT}/executions/{execution['id']}")[1]
    assert (told["status"], told["result"]) == ("completed", {"rain": True})
    assert told["ended_at"] >= told["started_at"] >= told["created_at"]
    events = api("get", f"{ROOT}/executions/{execution['id']}/events?since=1")[1]
    assert [(each["seq"], each["type"]) for each in events["events"]] == [(2, "log"), (3, "execution_complete")]
    assert events["cursor"] == 3
    assert [each["id"] for each in api("get", f"{ROOT}/executions")[1]["results"]] == [execution["id"]]
    assert [each["id"] for each in api("get", f"{ROOT}/{plugin['id']}/executions")[1]["results"]] == [execution["id"]]


def test_after_the_end_nothing_is_taken(report):
    assert report([log(1), {"type": "execution_error", "data": {"error": "No network."}}])[0] == 201
    status, body = report([log(2)])
    assert status == 409
    assert "has ended: failed" in body["detail"]


def test_a_batch_that_is_sent_again_is_taken_once(report, execution):
    first = report([log(1), log(2)], key="a")
    assert first == (201, {"first": 1, "last": 2})
    assert report([log(1), log(2)], key="a") == (200, {"first": 1, "last": 2})
    assert report([log(3)], key="a")[0] == 409
    assert report([log(3)], key="b") == (201, {"first": 3, "last": 3})
    end = [{"type": "execution_complete", "data": {}}]
    assert report(end, key="c")[0] == 201
    assert report(end, key="c")[0] == 200
    assert seqs(execution["id"]) == [1, 2, 3, 4]
    assert report([log(1)], key="k" * 256)[0] == 400


@pytest.mark.parametrize(
    "events",
    [
        [],
        "log",
        [7],
        [{"type": "shout", "data": {}}],
        [{"data": {"message": "x"}}],
        [{"type": "log", "data": "x"}],
        [{"type": "log"}],
        [{"type": "variable", "data": {"value": 1}}],
        [{"type": "execution_complete", "data": {}}, {"type": "log", "data": {"message": "x"}}],
        [{"type": "log", "data": {"message": "x"}}] * 101,
    ],
)
def test_what_is_no_batch_is_refused_and_nothing_of_it_taken(report, execution, events):
    status, body = report(events)
    assert status == 400, body
    assert seqs(execution["id"]) == []


def test_a_body_that_is_too_large_is_refused(report, settings):
    settings.PLUGINS_BODY_MAX_BYTES = 1000
    assert report([log("x" * 2000)])[0] == 413


def test_values_are_cut_and_masked_before_they_are_kept(api, report, execution, settings):
    settings.PLUGINS_VALUE_MAX_BYTES = 500
    data = {"name": "headers", "value": {"Authorization": "Bearer abc", "body": "x" * 5000}, "token": "abc"}
    assert report([{"type": "variable", "data": data}])[0] == 201
    [event] = api("get", f"{ROOT}/executions/{execution['id']}/events")[1]["events"]
    assert event["data"]["token"] == MASK
    assert event["data"]["value"]["truncated"] is True
    assert "abc" not in str(event)


def test_an_event_of_many_large_fields_still_fits(report, execution):
    data = {f"field{number}": "x" * 16_000 for number in range(50)} | {"name": "big", "value": 1}
    assert report([{"type": "variable", "data": data}])[0] == 201
    assert seqs(execution["id"]) == [1]


def test_when_there_are_too_many_events_only_the_end_is_taken(report, settings, execution):
    settings.PLUGINS_EXECUTION_MAX_EVENTS = 3
    assert report([log(1), log(2)])[0] == 201
    status, body = report([log(3), log(4)])
    assert status == 409
    assert "3 at most" in body["detail"]
    assert report([log(3)])[0] == 201
    assert report([{"type": "execution_complete", "data": {"result": 1}}])[0] == 201


def test_others_see_nothing(api, plugin, execution, report, people):
    for path in (
        f"{ROOT}/executions/{execution['id']}",
        f"{ROOT}/{plugin['id']}/executions",
        f"{ROOT}/executions/{execution['id']}/events",
    ):
        assert api("get", path, user="bob")[0] == 404
    assert api("get", f"{ROOT}/executions", user="bob")[1]["results"] == []
    assert api("get", ROOT, user="bob")[1]["results"] == []
    assert report([log(1)], user="bob")[0] == 404
    assert api("post", ROOT, {"name": "Mine", "organization": "org_one"}, user="bob")[0] == 403
    assert api("post", ROOT, {"name": "Mine"}, user="bob")[0] == 400


def test_members_of_the_organisation_see_and_report(api, execution, report, people, organization):
    Membership.objects.create(organization=organization, user=people["bob"])
    recent_callers.clear()
    assert api("get", f"{ROOT}/executions/{execution['id']}", user="bob")[0] == 200
    assert report([log(1)], user="bob")[0] == 201


def test_what_is_wrong_with_a_plugin_is_said(api, plugin):
    assert api("post", ROOT, {"name": "Weather"})[0] == 409
    assert api("post", ROOT, {"name": ""})[0] == 400
    assert api("post", ROOT, {"name": "B", "tools": [{"name": "a"}, {"name": "a"}]})[0] == 400
    assert api("post", ROOT, {"name": "B", "tools": [{"nam": "a"}]})[0] == 400
    status, body = api("post", f"{ROOT}/{plugin['id']}/executions", {"tool_name": "nowcast"})
    assert status == 400
    assert "forecast" in body["detail"]
    assert api("get", f"{ROOT}/executions/x")[0] == 400
    assert api("get", f"{ROOT}/executions/{plugin['id']}/events?since=x")[0] == 400


def test_the_owner_hears_of_it_on_his_feed(feed, api, organization):
    plugin = api("post", ROOT, {"name": "Weather"})[1]
    made = api("post", f"{ROOT}/{plugin['id']}/executions", {"tool_name": "any"})[1]
    executions.append(execution_id=made["id"], reports=[(Type.COMPLETE, {"result": 1})])
    assert [(type_, data["payload"]["status"]) for type_, data in feed()] == [
        ("plugin.execution.started", "pending"),
        ("plugin.execution.finished", "completed"),
    ]


def test_many_writers_leave_no_gap_and_no_double(report, execution, redis_url):
    """Eight threads, each with batches of its own and sending each twice, as web processes would."""
    pk, barrier = execution["id"], threading.Barrier(8)

    def write(writer):
        barrier.wait()
        for number in range(5):
            reports = [(Type.LOG, {"message": f"{writer}:{number}:{part}"}) for part in range(3)]
            for _ in range(2):
                executions.append(execution_id=pk, reports=reports, key=f"{writer}:{number}")

    for writing in [submit(write, number) for number in range(8)]:
        writing.result(30)
    events = journal.read(executions.execution_stream(pk), START)
    assert [event.id.major for event in events] == list(range(1, 121))
    messages = [event.data["message"] for event in events]
    assert len(set(messages)) == 120
    for start in range(0, 120, 3):
        assert len({message.rpartition(":")[0] for message in messages[start : start + 3]}) == 1
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        hot = client.xrange(f"tl:{{execution:{pk}}}")
    assert [entry_id for entry_id, _ in hot] == [f"{number}-0" for number in range(1, len(hot) + 1)]


def test_two_ends_at_once_one_counts(execution):
    barrier, refused = threading.Barrier(4), []

    def end(number):
        barrier.wait()
        try:
            executions.append(execution_id=execution["id"], reports=[(Type.COMPLETE, {"result": number})])
        except executions.Conflict as error:
            refused.append(error)

    for ending in [submit(end, number) for number in range(4)]:
        ending.result(30)
    assert len(refused) == 3
    assert seqs(execution["id"]) == [1]


def test_a_broker_that_lost_the_stream_is_given_it_again(report, execution, redis_url):
    report([log(1), log(2)])
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        report([log(3)])
        assert len(client.xrange(f"tl:{{execution:{execution['id']}}}")) == 3


def test_a_broker_that_is_away_holds_nothing_up(report, execution, monkeypatch, redis_url):
    class Away:
        def append_durable_now(self, append):
            raise batches.BrokerUnavailable

    monkeypatch.setattr(batches, "_left_alone_until", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(batches, "_broker", Away)
        assert report([log(1)])[0] == 201
    assert batches._left_alone_until > 0
    batches._left_alone_until = 0.0
    assert report([log(2)])[0] == 201
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.xrange(f"tl:{{execution:{execution['id']}}}")) == 2


def test_a_long_stream_is_given_again_whole(report, execution, redis_url):
    reports = [(Type.LOG, {"message": str(number)}) for number in range(700)]
    executions.append(execution_id=execution["id"], reports=reports)
    executions.append(execution_id=execution["id"], reports=reports)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        executions.append(execution_id=execution["id"], reports=[(Type.COMPLETE, {"result": 1})])
        key = f"tl:{{execution:{execution['id']}}}"
        assert client.xlen(key) == 1401
        assert 0 < client.ttl(key) <= 3600


def test_what_expired_is_ended_and_found_no_more(report, execution):
    Execution.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert report([log(1)])[0] == 409
    with pytest.raises(executions.NotFound):
        executions.find(execution_id=execution["id"])
    assert executions.end_expired() == 1
    assert executions.end_expired() == 0
    ended = Execution.objects.get()
    assert (ended.status, ended.error) == ("failed", executions.EXPIRED)
    assert DurableStream.objects.get(name=f"execution:{execution['id']}").ended_at is not None


def test_old_executions_are_pruned_and_open_ones_kept(api, plugin, execution, report):
    report([{"type": "execution_complete", "data": {}}], key="a")
    api("post", f"{ROOT}/{plugin['id']}/executions", {"tool_name": "forecast"})
    Execution.objects.update(created_at=timezone.now() - timedelta(days=40))
    assert executions.prune(before=timezone.now() - timedelta(days=30)) == 1
    assert [each.status for each in Execution.objects.all()] == ["pending"]
