"""The RAG chat (S2) over real servers: cut anywhere and resumed elsewhere, it says what `/complete` says."""

import asyncio
import json
import random
import shutil
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.live.conftest import Client, words
from tests.live.processes import Stack, eventually
from tests.live.rag import RagReader, check_order
from tests.patience import patiently

STREAM, COMPLETE = "/api/v1/chat/stream", "/api/v1/chat/complete"
CLIENT = Path(__file__).parent / "rag_client.mjs"
TEA = "Green tea is steeped at eighty degrees. Black tea wants boiling water. Grüße \U0001f600 from the tea house.\n\n" * 3


def script(*steps: dict[str, Any]) -> str:
    return f"!script {json.dumps(steps)}"


def reader(client: Client, body: dict[str, Any], *, at: int = 0) -> RagReader:
    addresses = client.stack.addresses
    return RagReader(addresses[at:] + addresses[:at], client.token, body)


async def kept(client: Client, name: str, text: str, *, what: str = "sources") -> dict[str, Any]:
    """A source that was taken in. Its embeddings need no model: the stack's endpoint is a stub."""
    created = await client.request("POST", f"/api/v1/{what}", json={"name": name, "text": text, "embedding_model": "hashing"})
    assert created.status_code == 201, created.text
    address = f"/api/v1/{what}/{created.json()['id']}"

    async def status() -> dict[str, Any] | None:
        told = (await client.request("GET", address)).json()
        assert told["status"] != "failed", told
        return told if told["status"] == "ready" else None

    return await eventually(status, within=20, what="the source to be taken in")


@pytest_asyncio.fixture
async def source(alice: Client) -> dict[str, Any]:
    """The `rag_config` of a source of alice's."""
    found = await kept(alice, f"tea {uuid.uuid4().hex[:6]}", TEA)
    return {"sources": [{"name": found["name"], "model_name": "openai-small", "similarity_threshold": 0}]}


@pytest_asyncio.fixture
async def quoting(stack: Stack, alice: Client) -> dict[str, Any]:
    """A request in a conversation whose application answers with the extractive engine."""
    stack.query(
        "INSERT INTO chat_application (public_id, organization_id, name, engine, model, system_prompt, sources, tools) "
        "SELECT 'app_quoting', organization_id, 'Quoting', 'extractive', '', '', '[]', '[]' FROM chat_application "
        "WHERE public_id = 'app_demo' ON CONFLICT DO NOTHING"
    )
    first = await alice.open("hello", application_id="app_quoting")
    return {"conversation_id": first.data["conversation_id"], "query": "At how many degrees is green tea steeped?"}


async def complete(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request("POST", COMPLETE, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_quoting_engine_streams_what_complete_says(alice: Client, source: dict[str, Any], quoting: dict[str, Any]):
    body = quoting | {"rag_config": source}
    whole = await complete(alice, body)
    assert "> Green tea is steeped at eighty degrees. [1]" in whole["content"]
    answer = reader(alice, body)
    await answer.connect()
    check_order(answer)
    assert answer.text == whole["content"]
    assert answer.frames[0].data == {"sources": whole["sources"]}
    assert whole["sources"][0]["index"] == 1


async def test_cut_after_every_event_and_resumed_on_the_other_process(alice: Client, source: dict[str, Any]):
    body = {"query": script({"tokens": 60, "per_second": 30}), "seed": 1, "temperature": 0, "rag_config": source}
    whole, answer = complete(alice, body), reader(alice, body)
    waiting = asyncio.create_task(whole)
    connections = 0
    async with asyncio.timeout(patiently(30)):
        while not answer.over:
            await answer.connect(frames=1)
            connections += 1
    check_order(answer)
    assert answer.text == (await waiting)["content"] == words(60)
    assert connections > 15


async def test_cut_at_random_bytes_while_it_runs(alice: Client, source: dict[str, Any]):
    dice = random.Random(3)
    body = {"query": script({"reasoning": "hm"}, {"tokens": 100, "per_second": 40}), "seed": 1, "rag_config": source}
    whole = asyncio.create_task(complete(alice, body))

    async def read(number: int) -> int:
        answer, cuts = reader(alice, body, at=number % 2), 0
        while not answer.over:
            # Often inside the headers, inside a frame, between two chunks of the response.
            await answer.connect(most=dice.randint(1, 2200))
            cuts += 1
            assert cuts < 500
        check_order(answer)
        assert answer.text == words(100)
        assert answer.frames[0].data["sources"][0]["title"].startswith("tea ")
        return cuts

    async with asyncio.timeout(patiently(60)):
        cuts = await asyncio.gather(*(read(number) for number in range(8)))
    assert sum(cuts) > 30
    assert (await whole)["content"] == words(100)


async def test_a_finished_answer_cut_after_every_tenth_byte(alice: Client, source: dict[str, Any], quoting: dict[str, Any]):
    body = quoting | {"rag_config": source, "query": "Who sends greetings from the tea house?"}
    first = reader(alice, body)
    await first.connect()
    size, gate = first.received, asyncio.Semaphore(8)
    assert "\U0001f600" in first.text

    async def cut_at(most: int) -> None:
        async with gate:
            answer = reader(alice, body)
            answer.place = first.place
            await answer.connect(most=most)
            if not answer.over:
                await answer.connect()
            check_order(answer)
            assert (answer.text, answer.frames[0]) == (first.text, first.frames[0])

    await asyncio.gather(*(cut_at(most) for most in range(1, size, 10)))


async def test_a_dead_worker_ends_the_stream_with_an_error(stack: Stack, alice: Client, source: dict[str, Any]):
    answer = reader(alice, {"query": script({"text": "so far"}, {"hang": True}), "rag_config": source})
    await answer.connect(frames=2)
    assert answer.text == "so far"
    for worker in stack.living_workers:
        worker.kill()
    async with asyncio.timeout(patiently(20)):
        while not answer.over:
            await answer.connect()
    check_order(answer, last="error")
    assert answer.frames[-1].data["code"] == "producer_stale"
    assert answer.text == "so far"


async def test_a_failure_after_the_start_is_an_error_and_then_the_end(alice: Client):
    steps = script({"text": "so far"}, {"fail": {"code": "broken", "message": "It broke.", "retryable": False}})
    answer = await reader(alice, {"query": steps}).read_to_end()
    check_order(answer, last="error")
    assert answer.frames[-1].data == {"code": "broken", "message": "It broke."}
    refused = await alice.request("POST", COMPLETE, json={"query": steps})
    assert (refused.status_code, refused.json()) == (500, {"detail": "It broke.", "code": "broken"})


async def test_a_stop_on_another_process_is_an_error_with_the_code_cancelled(alice: Client):
    answer = reader(alice, {"query": script({"text": "so far"}, {"hang": True})})
    await answer.connect(frames=2)
    reading = asyncio.create_task(answer.connect())
    assert (await alice.stop(answer.place.rpartition("/")[2], at=1)).status_code == 202
    async with asyncio.timeout(patiently(10)):
        await reading
    check_order(answer, last="error")
    assert answer.frames[-1].data == {"code": "cancelled", "message": "The answer was stopped."}


async def test_what_is_someone_elses_is_not_there(alice: Client, bob: Client, source: dict[str, Any]):
    answer = await reader(alice, {"query": "mine"}).read_to_end()
    assert (await bob.request("GET", answer.place)).status_code == 404
    theirs = await reader(bob, {"query": "theirs", "rag_config": source}).read_to_end()
    assert theirs.frames[0].data == {"sources": [], "missing": [source["sources"][0]["name"]]}
    note = await kept(alice, "note", "The secret of alice.", what="attachments")
    body = {"query": "secret", "context_mode": "attachment"}
    body["attachment_config"] = {"attachments": [{"storage_key": note["storage_key"]}]}
    refused = await reader(bob, body).read_to_end()
    assert [frame.event for frame in refused.frames] == ["error"]
    assert refused.frames[0].data["code"] == "context_not_found"
    mine = await reader(alice, body).read_to_end()
    assert mine.frames[0].data["sources"][0]["text"] == "The secret of alice."


async def test_one_key_on_both_processes_is_one_answer(alice: Client):
    body, headers = {"query": script({"tokens": 20, "per_second": 40})}, {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(
        *(
            alice.request("POST", address, at=at, json=body, headers=headers)
            for at in (0, 1)
            for address in (STREAM, COMPLETE)
            for _ in range(3)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["location"] for answer in answers}) == 1
    again = await alice.request("POST", STREAM, json={"query": "other"}, headers=headers)
    assert again.status_code == 409


async def test_the_first_frame_comes_while_the_answer_is_still_being_made(alice: Client, source: dict[str, Any]):
    answer = reader(alice, {"query": script({"pause": 60}), "rag_config": source})
    async with asyncio.timeout(patiently(10)):
        await answer.connect(frames=1)
    assert answer.frames[0].event == "sources"
    await alice.stop(answer.place.rpartition("/")[2])


async def test_a_client_written_from_the_document_reads_it(alice: Client, source: dict[str, Any], quoting: dict[str, Any]):
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    body = json.dumps(quoting | {"rag_config": source})
    address = f"{alice.stack.addresses[0]}{STREAM}"
    process = await asyncio.create_subprocess_exec(
        node, str(CLIENT), address, alice.token, body, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)
    whole = await complete(alice, json.loads(body))
    assert (seen["content"], seen["sources"], seen["completed"]) == (whole["content"], whole["sources"], True)
    assert seen["order"] == ["sources", *["text"] * (len(seen["order"]) - 2), "done"]


async def test_without_an_engine_every_process_refuses_before_the_start(stack: Stack, alice: Client):
    web = stack.start_web(CHAT_ENGINE="none")
    try:
        stack.wait_ready()
        for address in (STREAM, COMPLETE):
            answer = await alice.request("POST", address, at=-1, json={"query": "x"})
            assert (answer.status_code, answer.json()["code"]) == (503, "engine_not_configured")
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        web.kill()
        stack.webs.pop()
        stack.addresses.pop()


async def test_asking_and_waiting_hold_nobody_up(stack: Stack, alice: Client, bob: Client, source: dict[str, Any]):
    """Thirty answers searched for and waited for at once, and every other request still answered at once."""
    body = {"query": script({"tokens": 20, "per_second": 20}), "rag_config": source}
    async with httpx.AsyncClient(timeout=30) as client:
        asking = [
            asyncio.create_task(client.post(f"{stack.addresses[0]}{address}", json=body, headers=alice.headers))
            for address in (STREAM, COMPLETE)
            for _ in range(15)
        ]
        slowest, clock = 0.0, asyncio.get_running_loop().time
        while not all(task.done() for task in asking):
            began = clock()
            assert (await client.get(f"{stack.addresses[0]}/healthz")).status_code == 200
            slowest = max(slowest, clock() - began)
            await asyncio.sleep(0.02)  # the pace of the requests
    assert {task.result().status_code for task in asking} == {200}
    assert slowest < 2.0
