"""The endpoints of seed 003, asked over the real ASGI application."""

import asyncio
import json

import pytest

from accounts import services as accounts
from accounts.threads import in_thread
from chat.models import DocumentVersion, Job, Run, Subscription, UsageMonth
from chat.services import sessions
from tests.chat.asgi import Client
from tests.chat.conftest import _person, _token, run_of, script, until
from tests.chat.jobs.conftest import HTML, REPLACE, begun, described, done, names, stream_address, told, waiting

BODY = {"message": REPLACE, "session_id": "s1", "document_html": HTML}
ASK = BODY | {"approval_mode": "ask_every_time"}


async def approve(client, job, body, session="s1"):
    return await client.post(f"/v1/chat/{session}/approve", body={"job_id": str(job.pk)} | body)


async def test_a_job_is_accepted_as_the_seed_says(alice_client, hub_closed):
    answer = await alice_client.post("/v1/chat/async", body=BODY)
    assert answer.status == 200
    told = answer.json()
    assert told == {
        "job_id": told["job_id"],
        "session_id": "s1",
        "status": "pending",
        "message": "Chat request queued for processing",
    }
    state = (await alice_client.get(f"/v1/jobs/{told['job_id']}")).json()
    assert (state["status"], state["result"], state["error"], state["progress"]) == ("pending", None, None, 0)


async def test_a_session_is_made_up_where_none_is_named(alice_client):
    told = (await alice_client.post("/v1/chat/async", body={"message": "hi"})).json()
    assert told["session_id"].startswith("session_")
    assert (await alice_client.get(f"/v1/sessions/{told['session_id']}/jobs")).json()["jobs"][0]["job_id"] == told["job_id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"nonsense", 422),
        ({}, 422),
        ({"message": "  "}, 422),
        ({"message": 5}, 422),
        ({"message": "a\x00b"}, 422),
        ({"message": "x", "approval_mode": "maybe"}, 422),
        ({"message": "x", "session_id": "s" * 256}, 422),
        ({"message": "x", "document_html": "a\x00b"}, 400),
        ({"message": "x", "document_html": "x" * 2_100_000}, 413),
        ({"message": "x", "document_id": "5f0b4c1e-0000-4000-8000-000000000000"}, 404),
    ],
)
async def test_what_is_wrong_with_a_request_is_said_and_nothing_is_left(alice_client, alice, body, status):
    answer = await alice_client.post("/v1/chat/async", body=body)
    assert answer.status == status, answer.body
    assert answer.json()["detail"]
    assert await in_thread(Run.objects.count) == 0
    assert not await in_thread(UsageMonth.objects.filter(used__gt=0).exists)


async def test_credentials_are_asked_for_and_may_be_in_the_query(here, alice, alice_client):
    job = await begun(alice)
    await done(here, alice, job)
    nobody = Client()
    for target in ("/v1/jobs", f"/v1/jobs/{job.pk}", "/v1/sessions", stream_address(job)):
        assert (await nobody.get(target)).status == 401
    token = alice_client.token
    for name in ("token", "api_key"):
        secret = token if name == "token" else await in_thread(_api_key, alice)
        assert names(told(await nobody.get(stream_address(job, **{name: secret}))))[-2:] == ["final", "usage"]


def _api_key(caller):
    return accounts.issue_api_key(user_pk=caller.pk, name="tests").key


async def test_the_synchronous_form_answers_with_the_result(here, alice, alice_client):
    asking = asyncio.create_task(alice_client.post("/v1/chat", body=BODY))
    run = await until(lambda: Run.objects.first())
    await here.answer(run.pk)
    answer = await asking
    assert answer.status == 200
    assert "Invoice is due" in answer.json()["document_changes"]["updated_html"]
    assert answer.json()["usage"]["monthly_used"] == 1
    assert answer.json()["session_id"] == "s1"


async def test_the_synchronous_form_says_what_waits_for_decisions(here, alice, alice_client):
    asking = asyncio.create_task(alice_client.post("/v1/chat", body=ASK))
    run = await until(lambda: Run.objects.first())
    await here.answer(run.pk)
    answer = await asking
    assert answer.status == 202
    assert len(answer.json()["metadata"]["pending_changes"]) == 2


async def test_a_session_has_one_job_at_a_time(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    second = await alice_client.post("/v1/chat/async", body=BODY)
    assert (second.status, second.json()["code"]) == (409, "session_busy")
    await waiting(here, alice, job)
    assert (await alice_client.post("/v1/chat/async", body=BODY)).status == 409
    assert (await alice_client.post("/v1/sessions/s1/revert", body={"turn_index": 0})).status == 409
    # Another session is free, and so is this one when the job is over.
    assert (await alice_client.post("/v1/chat/async", body=BODY | {"session_id": "s2"})).status == 200
    assert (await alice_client.post(f"/v1/jobs/{job.pk}/cancel")).json()["stop_state"] == "stopped_here"
    assert (await alice_client.post("/v1/chat/async", body=BODY)).status == 200
    assert await in_thread(UsageMonth.objects.values_list("used", flat=True).get) == 2


async def test_of_many_jobs_at_once_a_session_takes_one(alice_client):
    answers = await asyncio.gather(*(alice_client.post("/v1/chat/async", body=BODY) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200, *[409] * 7]
    assert await in_thread(UsageMonth.objects.values_list("used", flat=True).get) == 1
    assert await in_thread(DocumentVersion.objects.count) == 1


async def test_the_same_idempotency_key_is_the_same_job_also_at_once(alice_client):
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(alice_client.post("/v1/chat/async", body=BODY, headers=key) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert (await alice_client.post("/v1/chat/async", body=ASK, headers=key)).status == 409


async def test_a_cancelled_job_tells_so_and_costs_nothing(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    assert (await alice_client.post(f"/v1/jobs/{job.pk}/cancel")).status == 200
    again = await alice_client.post(f"/v1/jobs/{job.pk}/cancel")
    assert (again.status, again.json()["code"]) == (409, "conflict")
    state = await described(alice, job)
    assert (state["status"], state["result"], state["metadata"]["pending_changes"]) == ("cancelled", None, [])
    assert state["usage"]["was_billable"] is False
    assert state["usage"]["monthly_used"] == 0
    frames = told(await alice_client.get(stream_address(job)))
    assert names(frames)[-1] == "error"
    assert frames[-1][2]["error"] == "The job was cancelled."
    decided = await approve(alice_client, job, {"approved": True})
    assert decided.status == 409


async def test_a_failed_job_ends_in_an_error_and_costs_nothing(here, alice, alice_client):
    job = await begun(alice, script({"fail": {"code": "broken", "message": "It broke", "retryable": False}}), document_html=None)
    state = await done(here, alice, job)
    assert (state["status"], state["error"]) == ("failed", "It broke")
    assert state["usage"]["was_billable"] is False
    frames = told(await alice_client.get(stream_address(job)))
    assert names(frames)[-1] == "error"
    assert frames[-1][2]["error"] == "It broke"


@pytest.mark.parametrize("bad", [{}, {"approved": "false"}, {"approved": 1}, {"approved": None}])
async def test_decisions_are_strict(here, alice, alice_client, bad):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    change = state["metadata"]["pending_changes"][0]["change_id"]
    for body in (bad, bad | {"change_id": change}, {"approved": True, "changes": [{"change_id": change} | bad]}):
        assert (await approve(alice_client, job, body)).status == 422
    for body in (
        {"approved": True, "changes": []},
        {"approved": True, "change_id": change, "changes": [{"change_id": change, "approved": True}]},
    ):
        assert (await approve(alice_client, job, body)).status == 422
    assert (await described(alice, job))["status"] == "awaiting_approval"


async def test_the_first_decision_wins_and_the_same_again_is_no_error(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    first, second = (each["change_id"] for each in state["metadata"]["pending_changes"])
    approved = {"approved": True, "change_id": first}
    assert (await approve(alice_client, job, approved)).status == 200
    assert (await approve(alice_client, job, approved)).status == 200
    other = await approve(alice_client, job, {"approved": False, "change_id": first})
    assert other.status == 409
    assert "alice" in other.json()["detail"]
    # All or none: the second one is not decided by what is refused for the first.
    both = {"approved": False, "changes": [{"change_id": each, "approved": False} for each in (first, second)]}
    assert (await approve(alice_client, job, both)).status == 409
    assert len((await described(alice, job))["metadata"]["pending_changes"]) == 1
    assert (await approve(alice_client, job, {"approved": True})).status == 200
    await done(here, alice, job)
    assert (await approve(alice_client, job, {"approved": True})).status == 200
    assert (await approve(alice_client, job, {"approved": False})).status == 409
    assert await in_thread(DocumentVersion.objects.count) == 2


async def test_of_many_deciders_one_wins(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    answers = await asyncio.gather(*(approve(alice_client, job, {"approved": number % 2 == 0}) for number in range(20)))
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 409}
    state = await done(here, alice, job)
    won = {each["decision"] for each in state["metadata"]["decided_changes"]}
    assert len(won) == 1
    assert (won == {"approved"}) == all(answers[n].status == 200 for n in range(0, 20, 2))


async def test_what_is_not_the_job_of_this_session_or_caller_is_not_there(here, alice, alice_client, bob_client):
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    nowhere = stream_address(job, session="other")
    for answer in (
        await alice_client.get(nowhere),
        await bob_client.get(stream_address(job)),
        await bob_client.get(f"/v1/jobs/{job.pk}"),
        await bob_client.post(f"/v1/jobs/{job.pk}/cancel"),
        await approve(alice_client, job, {"approved": True}, session="other"),
        await approve(bob_client, job, {"approved": True}),
        await approve(alice_client, job, {"approved": True, "change_id": "ch_0"}),
        await bob_client.get("/v1/sessions/s1/history"),
        await bob_client.post("/v1/sessions/s1/revert", body={"turn_index": 0}),
    ):
        assert answer.status == 404, answer.body
    assert (await alice_client.get("/v1/chat/s1/stream")).status == 400
    assert (await alice_client.get(stream_address(job, last_sequence="-1"))).status == 400
    assert (await described(alice, job))["status"] == "awaiting_approval"


async def test_an_expired_change_is_gone_and_the_job_completes(here, alice, alice_client, settings):
    settings.APPROVAL_EXPIRES_SECONDS = 0.3
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    await until(lambda: run_of(job).status == Run.Status.QUEUED)
    assert (await approve(alice_client, job, {"approved": True})).status == 410
    state = await done(here, alice, job)
    assert "Nobody decided in time" in state["result"]["response"]
    assert state["result"]["document_changes"]["updated_html"] == HTML


async def test_the_stream_cut_after_every_frame_and_resumed_in_each_way_is_the_same_job(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    await approve(alice_client, job, {"approved": True})
    state = await done(here, alice, job)
    whole = told(await alice_client.get(stream_address(job)))
    assert names(whole).count("proposed_change") == 2
    assert names(whole)[-2:] == ["final", "usage"]
    for place, (_, id, _) in enumerate(whole[:-1]):
        rest = whole[place + 1 :]
        assert told(await alice_client.get(stream_address(job, last_sequence=id))) == rest
        assert told(await alice_client.get(stream_address(job), headers={"Last-Event-ID": str(id)})) == rest
        # A browser's address still has the older number.
        both = stream_address(job, last_sequence=1)
        assert told(await alice_client.get(both, headers={"Last-Event-ID": str(id)})) == rest
    last = whole[-1][1]
    assert names(told(await alice_client.get(stream_address(job, last_sequence=last)))) == ["final", "usage"]
    assert (await alice_client.get(stream_address(job), headers={"Last-Event-ID": str(last)})).status == 204
    assert told(await alice_client.get(stream_address(job, last_sequence=last + 7))) == whole
    # Polling carries all that the stream does.
    told_by_polling = state["metadata"]["intermediate_responses"]
    assert told_by_polling == [data for name, _, data in whole if name == "intermediate"]
    proposed = [json.loads(data["content"]) for name, _, data in whole if name == "proposed_change"]
    decided = state["metadata"]["decided_changes"]
    assert [{name: each[name] for name in proposed[0]} for each in decided] == proposed
    assert state["result"] == whole[-2][2]["result"]


async def test_a_live_stream_tells_everything_to_the_end(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    reading = asyncio.create_task(alice_client.get(stream_address(job)))
    await waiting(here, alice, job)
    await approve(alice_client, job, {"approved": True})
    await done(here, alice, job)
    answer = await reading
    assert answer.body.startswith(b"retry: ")
    assert told(answer) == told(await alice_client.get(stream_address(job)))


async def test_a_job_whose_journal_is_pruned_is_still_told(here, alice, alice_client):
    from django.utils import timezone

    from events.journal import prune

    job = await begun(alice)
    state = await done(here, alice, job)
    await in_thread(lambda: prune(before=timezone.now(), batch_size=1000))
    frames = told(await alice_client.get(stream_address(job)))
    assert names(frames) == ["final", "usage"]
    assert frames[0][2]["result"] == state["result"]
    assert (await described(alice, job))["result"] == state["result"]


async def test_a_month_is_used_up_and_says_when_the_next_begins(here, alice, alice_client, settings):
    settings.USAGE_TIERS = ["free=2", "pro=3"]
    for number in range(2):
        state = await done(here, alice, await begun(alice, session=f"s{number}"))
    assert state["result"]["usage"] == {
        "monthly_used": 2,
        "monthly_limit": 2,
        "monthly_remaining": 0,
        "was_billable": True,
        "subscription_tier": "free",
    }
    refused = await alice_client.post("/v1/chat/async", body=BODY | {"session_id": "new"})
    assert (refused.status, refused.json()["code"]) == (429, "usage_used_up")
    assert 0 < int(refused.headers["retry-after"]) <= 31 * 86_400
    await in_thread(lambda: Subscription.objects.create(user_id=alice.pk, tier="pro"))
    assert (await alice_client.post("/v1/chat/async", body=BODY | {"session_id": "new"})).status == 200
    assert (await alice_client.post("/v1/chat/async", body=BODY | {"session_id": "more"})).status == 429


async def test_many_jobs_at_once_do_not_use_more_than_there_is(alice_client, settings):
    settings.USAGE_TIERS = ["free=3"]
    bodies = [BODY | {"session_id": f"s{number}"} for number in range(8)]
    answers = await asyncio.gather(*(alice_client.post("/v1/chat/async", body=body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [*[200] * 3, *[429] * 5]


async def test_history_versions_and_going_back(here, alice, alice_client):
    await done(here, alice, await begun(alice))
    await done(here, alice, await begun(alice, 'replace "invoice" with "bill"', document_html=None))
    messages = (await alice_client.get("/v1/sessions/s1/history")).json()["messages"]
    assert [(each["sender"], each["turn_index"]) for each in messages] == [("user", 1), ("ai", 1), ("user", 2), ("ai", 2)]
    document = (await alice_client.get("/v1/sessions/s1/document")).json()
    assert "Bill is due" in document["updated_html"]
    assert document["version_id"] == messages[-1]["checkpoint_id"]
    back = await alice_client.post("/v1/sessions/s1/revert", body={"turn_index": 1})
    assert "Invoice is due" in back.json()["document_changes"]["updated_html"]
    back = await alice_client.post("/v1/sessions/s1/revert", body={"turn_index": 0})
    assert back.json()["document_changes"]["updated_html"] == HTML
    back = await alice_client.post("/v1/sessions/s1/revert", body={"version_id": document["version_id"]})
    assert back.json()["document_changes"]["updated_html"] == document["updated_html"]
    versions = (await alice_client.get("/v1/sessions/s1/versions")).json()["versions"]
    assert [each["number"] for each in versions] == [6, 5, 4, 3, 2, 1]
    for body in ({}, {"turn_index": "0"}, {"turn_index": -1}, {"turn_index": 0, "version_id": document["version_id"]}):
        assert (await alice_client.post("/v1/sessions/s1/revert", body=body)).status == 422
    listed = (await alice_client.get("/v1/sessions")).json()["sessions"]
    assert [(each["session_id"], each["turns"], each["active_job_id"]) for each in listed] == [("s1", 2, None)]


async def test_jobs_are_listed_by_status(here, alice, alice_client):
    await done(here, alice, await begun(alice))
    await begun(alice, session="s2")
    for query, count in (("", 2), ("?status=completed", 1), ("?status=pending", 1), ("?status=failed", 0), ("?limit=1", 1)):
        assert len((await alice_client.get(f"/v1/jobs{query}")).json()["jobs"]) == count
    for query in ("?status=queued", "?limit=0", "?limit=x", "?limit=101"):
        assert (await alice_client.get(f"/v1/jobs{query}")).status == 400


async def test_compact_leaves_the_html_out(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    state = (await alice_client.get(f"/v1/jobs/{job.pk}?compact=true")).json()
    change = state["metadata"]["pending_changes"][0]
    assert (change["old_html"], change["new_html"]) == (None, None)
    assert change["change_id"]


async def test_people_who_share_a_session_see_and_decide(here, alice, alice_client, organization):
    carol = await in_thread(_person, "carol", organization)
    carol_client = Client(token=await in_thread(_token, carol))
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    await in_thread(sessions.add_participant, caller=alice, name="s1", user_id=carol.user_id)
    session = str((await in_thread(Job.objects.get, pk=job.pk)).session_id)
    assert (await approve(carol_client, job, {"approved": True}, session=session)).status == 200
    frames = told(await alice_client.get(stream_address(job), until=lambda body: b"by carol" in body))
    assert "carol" in [data.get("decided_by") for _, _, data in frames]


async def test_a_document_of_two_megabytes_goes_through(here, alice, alice_client):
    paragraph = "<p>Nothing changes in here, however <b>long</b> it is.</p>\n"
    html = f"<h1>Payment</h1>\n{paragraph * (2_090_000 // len(paragraph))}"
    answer = await alice_client.post("/v1/chat/async", body=BODY | {"document_html": html})
    assert answer.status == 200, answer.body
    job = await in_thread(Job.objects.get)
    await here.answer(job.pk)
    await until(lambda: run_of(job).status not in Run.OPEN, seconds=60)
    state = await described(alice, job)
    assert state["result"]["document_changes"]["updated_html"] == html.replace("Payment", "Invoice")
    frames = told(await alice_client.get(stream_address(job)))
    assert frames[-2][2]["result"] == state["result"]
