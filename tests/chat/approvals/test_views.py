"""Approvals over HTTP: REST, `tool_actions` of POST /stream, and the page behind a link."""

import asyncio
import re
import uuid
from urllib.parse import urlencode

import pytest

from accounts.models import User
from accounts.threads import in_thread
from chat.approvals import links
from chat.approvals.requesting import Item
from chat.models import Approval, Run
from tests.chat.approvals.conftest import PAY, SCHEMA, expire, feed_of, join, opened, pay, waiting
from tests.chat.asgi import Client
from tests.chat.conftest import _token, ended, run_of, until
from tests.chat.views.test_streams import kinds, spoken

pytestmark = pytest.mark.usefixtures("application", "hub_closed")

LIST = "/api/v1/approvals"


@pytest.fixture
async def working(runner):
    """A runner that drives whatever is queued, also for the second time."""

    async def work():
        while True:
            for pk in await in_thread(lambda: list(Run.objects.filter(status="queued").values_list("pk", flat=True))):
                await runner.answer(pk)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    yield runner
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def asked_for(caller, *items, **fields):
    return await in_thread(lambda: opened(caller, *items, **fields))


def decision_of(approval):
    return f"{LIST}/{approval.pk}/decision"


async def pending(approval):
    await in_thread(approval.refresh_from_db)
    return approval.status == "pending"


async def test_one_is_listed_read_decided_and_listed_as_decided(alice, alice_client):
    message, (approval,) = await asked_for(alice)
    (row,) = (await alice_client.get(LIST)).json()["results"]
    assert (row["id"], row["message_id"], row["title"], row["payload"]) == (str(approval.pk), str(message.pk), "pay", PAY)
    assert (row["may_decide"], row["status"], row["schema"]) == (True, "pending", SCHEMA)
    answer = await alice_client.post(
        decision_of(approval), body={"approved": True, "feedback": "ok", "payload_sha256": row["payload_sha256"]}
    )
    assert answer.status == 200
    one = (await alice_client.get(f"{LIST}/{approval.pk}")).json()
    assert answer.json() == one
    assert (one["status"], one["decided_by"]["username"], one["feedback"], one["may_decide"]) == (
        "approved",
        "alice",
        "ok",
        False,
    )
    assert [(step["what"], step["by"]) for step in one["history"]] == [("requested", None), ("approved", "alice")]
    assert (await alice_client.get(LIST)).json()["results"] == []
    assert len((await alice_client.get(f"{LIST}?status=decided")).json()["results"]) == 1
    assert len((await alice_client.get(f"{LIST}?status=all&message_id={message.pk}")).json()["results"]) == 1
    assert (await alice_client.get(f"{LIST}?status=all&message_id={uuid.uuid4()}")).json()["results"] == []
    for wrong in ("status=some", "message_id=x", "cursor=x"):
        assert (await alice_client.get(f"{LIST}?{wrong}")).status == 400


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"approved": "false"}, ["body", "approved"]),
        ({"approved": "true"}, ["body", "approved"]),
        ({"approved": 1}, ["body", "approved"]),
        ({"approved": None}, ["body", "approved"]),
        ({}, ["body", "approved"]),
        ({"aproved": True, "approved": True}, ["body", "aproved"]),
        ([], ["body"]),
        (b"", ["body"]),
        (b"{", ["body", 1]),
        ({"approved": True, "feedback": 5}, ["body", "feedback"]),
        ({"approved": True, "feedback": "a\x00"}, ["body", "feedback"]),
        ({"approved": True, "feedback": "x" * 4001}, ["body", "feedback"]),
        ({"approved": True, "payload_sha256": "abc"}, ["body", "payload_sha256"]),
        ({"approved": True, "edited": {"to": "bob"}}, ["body", "edited"]),
        ({"approved": False, "edited": PAY}, ["body", "edited"]),
    ],
)
async def test_what_is_no_clear_decision_is_422_and_changes_nothing(alice, alice_client, body, where):
    _, (approval,) = await asked_for(alice)
    answer = await alice_client.post(decision_of(approval), body=body)
    assert answer.status == 422
    assert answer.json()["detail"][0]["loc"] == where
    assert await pending(approval)


async def test_forged_and_late_decisions_have_their_statuses_and_change_nothing(alice, alice_client, bob, dave):
    message, (approval,) = await asked_for(alice, deciders=["requester"])
    await in_thread(join, message, bob)
    yes = {"approved": True}

    async def status(client, target, body=yes):
        return (await client.post(target, body=body)).status

    bobs, daves = Client(token=await in_thread(_token, bob)), Client(token=await in_thread(_token, dave))
    assert await status(Client(), decision_of(approval)) == 401
    assert await status(daves, decision_of(approval)) == 404
    assert await status(bobs, decision_of(approval)) == 403
    assert await status(alice_client, f"{LIST}/{uuid.uuid4()}/decision") == 404
    assert await status(alice_client, f"{LIST}/x/decision") == 400
    assert await status(alice_client, decision_of(approval), yes | {"payload_sha256": "0" * 64}) == 409
    assert await pending(approval)
    await in_thread(expire, message)
    assert await status(alice_client, decision_of(approval)) == 410
    assert await pending(approval)


async def test_a_later_decision_is_told_who_won(alice, alice_client, bob, bob_client):
    message, (approval,) = await asked_for(alice)
    await in_thread(join, message, bob)
    assert (await bob_client.post(decision_of(approval), body={"approved": False})).status == 200
    late = await alice_client.post(decision_of(approval), body={"approved": True})
    assert (late.status, late.json()["code"]) == (409, "conflict")
    assert "denied by bob" in late.json()["detail"]
    assert (await alice_client.post(decision_of(approval), body={"approved": False})).status == 200


async def test_a_batch_is_decided_in_one_request_or_not_at_all(alice, alice_client):
    _, approvals = await asked_for(alice, Item("a", "pay", PAY, SCHEMA), Item("b", "pay", PAY, SCHEMA))
    _, (other,) = await asked_for(alice)
    target = f"{LIST}/batches/{approvals[0].batch_id}/decision"
    decisions = [{"approval_id": str(each.pk), "approved": True} for each in approvals]
    foreign = await alice_client.post(
        target, body={"decisions": [decisions[0], {"approval_id": str(other.pk), "approved": True}]}
    )
    assert foreign.status == 404
    wrong = await alice_client.post(target, body={"decisions": [decisions[0], decisions[1] | {"edited": {}}]})
    assert wrong.status == 422
    assert (await alice_client.post(target, body={"decisions": []})).status == 422
    assert await pending(approvals[0])
    done = await alice_client.post(target, body={"decisions": decisions})
    assert (done.status, [each["status"] for each in done.json()["results"]]) == (200, ["approved", "approved"])


async def resumed(client, message, *actions):
    body = {"conversation_id": str(message.conversation_id), "tool_actions": list(actions)}
    return await client.post("/stream", body=body)


async def test_tool_actions_stream_the_rest_of_the_answer(working, alice, alice_client, counting):
    steps = [{"text": "Wait."}, pay("a", amount=1), pay("b", amount=2), pay("c", amount=3), {"results": True}]
    message, approvals = await waiting(working, alice, *steps, *({"result": number} for number in (1, 2, 3)))
    before = (await alice_client.get(f"/api/messages/{message.pk}/events", until=lambda body: b"pending" in body)).frames()
    (asked,) = (frame for frame in before if frame["type"] == "tool_calls_pending")
    calls = asked["data"]["pending_tool_calls"]
    assert [(call["call_id"], call["tool_name"], call["arguments"]["amount"]) for call in calls] == [
        ("a", "pay", 1),
        ("b", "pay", 2),
        ("c", "pay", 3),
    ]
    assert [call["approval_id"] for call in calls] == [str(each.pk) for each in approvals]
    answer = await resumed(
        alice_client,
        message,
        {"call_id": "a", "decision": "approved"},
        {"call_id": "b", "decision": "denied", "comment": "Not you."},
    )
    assert answer.status == 200
    frames = answer.frames()
    assert (frames[0]["type"], frames[0]["message_id"], frames[0]["_id"]) == ("message_id", str(message.pk), None)
    assert "Wait." not in spoken(frames)
    assert counting.paid == [{"to": "bob", "amount": 1}]
    calls = [(frame["data"]["call_id"], frame["data"]["status"]) for frame in frames if frame["type"] == "tool_call"]
    assert calls[:3] == [("a", "pending"), ("b", "denied"), ("c", "denied")]
    assert sorted(calls[3:]) == [("a", "completed"), ("b", "denied"), ("c", "denied")]
    assert '{"paid":1}' in spoken(frames)
    assert "Not you." in spoken(frames)
    assert "It was not among the approved ones." in spoken(frames)
    assert kinds(frames)[-1] == "end"
    ids = [int(frame["_id"]) for frame in [*before, *frames] if frame["_id"]]
    assert ids == sorted(set(ids))


async def test_of_two_who_resume_at_once_one_gets_409(working, alice, alice_client, counting):
    message, _ = await waiting(working, alice)
    action = {"call_id": "call_1", "decision": "approved"}
    answers = await asyncio.gather(*(resumed(alice_client, message, action) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    assert {answer.json()["success"] for answer in answers if answer.status == 409} == {False}
    assert counting.paid == [PAY]
    again = await resumed(alice_client, message, action)
    assert (again.status, "Resume already in progress" in again.json()["message"]) == (409, True)


@pytest.mark.parametrize(
    "actions",
    [
        [{"call_id": "call_1", "decision": "yes"}],
        [{"call_id": "call_1", "decision": True}],
        [{"call_id": "call_1"}],
        [{"call_id": "call_1", "result": "done"}],
        [{"decision": "approved"}],
        [{"call_id": "another", "decision": "approved"}],
        ["approved"],
    ],
)
async def test_tool_actions_that_say_nothing_clear_are_400_and_change_nothing(alice, alice_client, actions):
    message, (approval,) = await asked_for(alice)
    assert (await resumed(alice_client, message, *actions)).status == 400
    assert await pending(approval)


async def test_tool_actions_of_others_are_refused_and_change_nothing(alice, bob_client, bob):
    message, (approval,) = await asked_for(alice, deciders=["requester"])
    action = {"call_id": "call_1", "decision": "approved"}
    assert (await resumed(bob_client, message, action)).status == 404
    await in_thread(join, message, bob)
    assert (await resumed(bob_client, message, action)).status == 403
    assert await pending(approval)
    expiring = await in_thread(_token_client, "alice")
    await in_thread(expire, message)
    assert (await resumed(expiring, message, action)).status == 410
    assert await pending(approval)


def _token_client(name):
    class Named:
        pk = User.objects.get(username=name).pk

    return Client(token=_token(Named))


async def test_a_decision_by_someone_else_before_is_kept_and_may_not_be_contradicted(alice, alice_client, bob, bob_client):
    message, approvals = await asked_for(alice, Item("a", "pay", PAY), Item("b", "pay", PAY))
    await in_thread(join, message, bob)
    await bob_client.post(decision_of(approvals[0]), body={"approved": False})
    contradicting = await resumed(alice_client, message, {"call_id": "a", "decision": "approved"})
    assert contradicting.status == 409
    assert "denied already" in contradicting.json()["message"]
    assert await pending(approvals[1])


# The link of a mail.


@pytest.fixture
def address(settings):
    settings.PUBLIC_URL = "https://ai.example.org/"

    async def of(approval, caller):
        link = await in_thread(lambda: links.link(approval=approval, user_pk=caller.pk))
        assert link.startswith("https://ai.example.org/approvals/")
        return link.removeprefix("https://ai.example.org")

    return of


def form(**fields):
    return {"body": urlencode(fields).encode(), "headers": {"content-type": "application/x-www-form-urlencoded"}}


async def test_a_link_shows_and_only_a_post_decides_once(working, alice, address, counting):
    message, (approval,) = await waiting(working, alice)
    path = await address(approval, alice)
    nobody = Client()
    for method in ("GET", "HEAD", "GET"):
        shown = await nobody.request(method, path)
        assert shown.status == 200
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert "no-store" in shown.headers["cache-control"]
    assert b"&quot;amount&quot;: 5" in shown.body
    assert b"alice" in shown.body
    assert await pending(approval)
    nothing = await nobody.post(path, **form(decision="maybe"))
    assert nothing.status == 422
    assert await pending(approval)
    other = await nobody.post(path, **form(decision="approve", payload_sha256="0" * 64))
    assert other.status == 409
    assert await pending(approval)
    done = await nobody.post(path, **form(decision="deny", feedback="No money", payload_sha256=approval.payload_sha256))
    assert done.status == 200
    assert b"denied by alice" in " ".join(done.body.decode().split()).encode()
    again = await nobody.post(path, **form(decision="approve"))
    assert again.status == 409
    assert b"denied by alice" in again.body
    run = await ended(message)
    assert "No money" in run.message.text
    assert counting.paid == []
    step = await in_thread(lambda: approval.history.last())
    assert (step.via, step.what) == ("link", "denied")


async def test_a_link_that_is_not_ours_or_is_over_decides_nothing(alice, dave, address):
    message, (approval,) = await asked_for(alice)
    path = await address(approval, alice)
    nobody = Client()
    yes = form(decision="approve")
    for wrong in (path[:-2], path.replace("approvals/", "approvals/x"), "/approvals/x"):
        assert (await nobody.get(wrong)).status == 404
        assert (await nobody.post(wrong, **yes)).status == 404
    foreign = await address(approval, dave)
    assert (await nobody.get(foreign)).status == 404
    assert (await nobody.post(foreign, **yes)).status == 404
    await in_thread(expire, message)
    late = await nobody.post(path, **yes)
    assert late.status == 410
    assert await pending(approval)
    await in_thread(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
    assert (await nobody.get(path)).status == 404


async def test_a_waiting_answer_is_told_to_a_fresh_user_feed(alice, alice_client):
    message, (approval,) = await asked_for(alice)
    feed = await alice_client.get("/api/events", until=lambda body: b"tool.approval.required" in body)
    (told,) = (frame for frame in feed.frames() if frame["type"] == "tool.approval.required")
    assert told["_id"] is None
    assert told["scope"] == {"kind": "conversation", "id": str(message.conversation_id)}
    assert told["payload"]["pending_tool_calls"][0]["approval_id"] == str(approval.pk)
    tail = (await alice_client.get(f"/api/messages/{message.pk}/tail")).json()
    assert tail["status"] == "awaiting_approval"
    assert await in_thread(lambda: Approval.objects.filter(status="pending").count()) == 1
    assert await until(lambda: run_of(message))


def test_the_page_lists_what_waits_for_the_user_also_of_conversations_that_he_cannot_open(alice, carol, client, redis_url):
    _, (approval,) = opened(alice, deciders=["participants", "admins"])
    assert [each.get("href") for each in feed_of(redis_url, carol, "tool.approval.required")] == ["/approvals"]
    assert [each.get("href") for each in feed_of(redis_url, alice, "tool.approval.required")] == [None]
    assert client.get("/approvals").status_code == 302
    client.force_login(User.objects.get(pk=carol.pk))
    page = client.get("/approvals").content.decode()
    (path,) = re.findall(r'href="(/approvals/[^"]+)"', page)
    done = client.post(path, {"decision": "approve", "payload_sha256": approval.payload_sha256})
    assert "approved by carol" in " ".join(done.content.decode().split())
    assert "Nothing waits" in client.get("/approvals").content.decode()
