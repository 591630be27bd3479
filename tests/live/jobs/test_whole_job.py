"""Whole jobs with an independent client, cut at every frame; and processes that are killed on the way."""

import asyncio
import json
import secrets
import time
from typing import Any

import httpx
import pytest

from tests.live.conftest import Client, measured
from tests.live.jobs.stream_client import StreamClient
from tests.live.jobs.test_seed import HTML, begin
from tests.live.processes import LEASE_SECONDS, Stack, eventually

SLACK = 6.0
CHANGED = HTML.replace("Payment", "Invoice").replace("payment", "invoice")


@pytest.fixture
def session() -> str:
    return f"session-{secrets.token_hex(4)}"


def client_of(alice: Client, session: str, job: str, **options: Any) -> StreamClient:
    return StreamClient(alice.stack.addresses, session, job, alice.headers, **options)


async def state_of(alice: Client, job: str) -> dict[str, Any]:
    answer = await alice.request("GET", f"/v1/jobs/{job}")
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


async def is_up(address: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{address}/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def has_status(alice: Client, job: str, status: str, *, within: float = 20) -> dict[str, Any]:
    async def holds() -> dict[str, Any] | None:
        state = await state_of(alice, job)
        return state if state["status"] == status else None

    found: dict[str, Any] = await eventually(holds, within=within, what=f"job {status}")
    return found


async def approve(alice: Client, session: str, job: str, **body: Any) -> int:
    answer = await alice.request("POST", f"/v1/chat/{session}/approve", json={"job_id": job, "approved": True} | body)
    return answer.status_code


@pytest.mark.parametrize("resume_by", ["last_sequence", "Last-Event-ID"])
async def test_a_job_cut_after_every_frame_reviewed_and_followed_to_its_end(alice: Client, session: str, resume_by: str):
    job = await begin(alice, session, approval_mode="ask_every_time")
    proposed: list[dict[str, Any]] = []

    async def review(name: str, data: dict[str, Any]) -> None:
        if name == "proposed_change":
            proposed.append(json.loads(data["content"]))
            if len(proposed) == proposed[0]["batch_total"]:
                # The first word of the review is of a deny with feedback: it comes back.
                if "money" not in proposed[-1]["new_html"].lower():
                    first, *others = proposed
                    verdicts = [
                        {"change_id": first["change_id"], "approved": False, "feedback": 'replace "payment" with "money"'}
                    ]
                    verdicts += [{"change_id": each["change_id"], "approved": True} for each in others]
                    proposed.clear()
                    assert await approve(alice, session, job, changes=verdicts) == 200
                else:
                    assert await approve(alice, session, job, change_id=proposed[-1]["change_id"]) == 200

    reader = client_of(alice, session, job, cut_after=lambda count: True, on_frame=review, resume_by=resume_by)
    await asyncio.wait_for(reader.run(), 40)
    sequences = [sequence for _, sequence, _ in reader.frames]
    assert sequences == sorted(set(sequences))
    assert reader.connections >= len(reader.frames)
    assert reader.frames[-1][0] == "final"
    html = reader.frames[-1][2]["result"]["document_changes"]["updated_html"]
    assert "Money is due" in html
    assert "Invoice helps" in html
    whole = client_of(alice, session, job)
    await whole.run()
    assert [(name, sequence) for name, sequence, _ in whole.frames] == [(name, sequence) for name, sequence, _ in reader.frames]
    assert (await state_of(alice, job))["result"] == reader.frames[-1][2]["result"]


async def test_a_client_that_finds_no_stream_polls(alice: Client, session: str):
    job = await begin(alice, session)
    reader = client_of(alice, "another-session", job)
    await asyncio.wait_for(reader.run(), 20)
    assert reader.polled is not None
    assert reader.polled["result"]["document_changes"]["updated_html"] == CHANGED


async def test_a_dead_job_frees_its_session_within_the_lease(stack: Stack, alice: Client, session: str):
    answer = await alice.request("POST", "/v1/chat/async", json={"message": '!script [{"hang": true}]', "session_id": session})
    job = answer.json()["job_id"]
    await has_status(alice, job, "in_progress")
    follower = asyncio.create_task(client_of(alice, session, job).run())
    refused = await alice.request("POST", "/v1/chat/async", json={"message": "hi", "session_id": session})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
    stack.living_workers[0].kill()
    stack.start_worker()
    began = time.monotonic()

    async def accepted() -> bool:
        again = await alice.request("POST", "/v1/chat/async", json={"message": "hi", "session_id": session})
        return again.status_code == 200

    await eventually(accepted, within=LEASE_SECONDS + SLACK, what="the session to be free")
    measured("a dead job frees its session after", time.monotonic() - began)
    await asyncio.wait_for(follower, 10)
    state = await state_of(alice, job)
    assert (state["status"], state["usage"]["was_billable"]) == ("failed", False)


async def test_what_is_approved_while_every_process_dies_is_made_once(stack: Stack, alice: Client, session: str):
    job = await begin(alice, session, approval_mode="ask_every_time")
    await has_status(alice, job, "awaiting_approval")
    stack.living_workers[0].kill()
    stack.webs[0].kill()
    stack.webs[0].start()
    await eventually(lambda: is_up(stack.addresses[0]), within=20, what="the web process")
    assert await approve(alice, session, job) == 200
    await stack.kill_broker()
    await stack.start_broker()
    await stack.crash_postgres()
    await stack.start_postgres()
    stack.start_worker()
    reader = client_of(alice, session, job)
    await asyncio.wait_for(reader.run(), 60)
    assert reader.frames[-1][2]["result"]["document_changes"]["updated_html"] == CHANGED
    rows = stack.query("SELECT count(*) FROM chat_documentversion WHERE run_id = %s", job)
    assert rows == [(1,)]


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.3])
async def test_a_worker_killed_while_it_applies_is_followed_by_one_that_does_not_apply_again(
    stack: Stack, alice: Client, session: str, after: float
):
    job = await begin(alice, session, approval_mode="ask_every_time")
    await has_status(alice, job, "awaiting_approval")
    assert await approve(alice, session, job) == 200
    await asyncio.sleep(after)  # not waiting for something: anywhere in its work
    stack.living_workers[0].kill()
    stack.start_worker()
    state = await has_status(alice, job, "completed", within=LEASE_SECONDS + SLACK + 10)
    assert state["result"]["document_changes"]["updated_html"] == CHANGED
    assert stack.query("SELECT count(*) FROM chat_documentversion WHERE run_id = %s", job) == [(1,)]
