"""A real server: web process and workers of its own, one of them killed in the middle of a large file."""

import itertools
import json
import random
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from tests.knowledge.conftest import told, wait_for
from tests.live.processes import Stack

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
MEGABYTES = 50
LEASE_SECONDS = 4.0
RANDOM = random.Random(7)
VOCABULARY = ["".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=RANDOM.randint(2, 9))) for _ in range(5000)]


@pytest.fixture(scope="module")
def stack():
    stack = Stack(
        webs=1,
        workers=1,
        settings={
            "KNOWLEDGE_EMBEDDINGS": "hashing",
            "KNOWLEDGE_LEASE_SECONDS": str(LEASE_SECONDS),
            "OPENAI_BASE_URL": "",
            "OPENAI_API_KEY": "",
        },
    )
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def client(stack):
    address = stack.addresses[0]
    login = httpx.post(f"{address}/api/v1/auth/token", json={"username": "alice", "password": "alice"}, timeout=20)
    login.raise_for_status()
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {login.json()['access']}"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def large_file():
    """50 MB of sentences; paragraphs name their number, so that what is missing or doubled shows."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        size = number = 0
        while size < MEGABYTES << 20:
            number += 1
            text = " ".join(f"{' '.join(RANDOM.choices(VOCABULARY, k=12))}." for _ in range(8))
            size += file.write(f"Paragraph number {number} begins. {text}\n\n")
        file.flush()
        yield Path(file.name)


def source_of(client, made):
    return client.get(f"/api/v1/sources/{made['id']}").raise_for_status().json()


def memory_mb(pid, field="VmHWM"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    raise AssertionError(field)


def events_of(stack, client, source_id):
    user = client.get("/api/v1/auth/me").json()["id"]
    with stack.valkey_client() as valkey:
        return [(type_, data["payload"]) for type_, data in told(valkey, user) if data.get("scope", {}).get("id") == source_id]


def test_a_killed_workers_50_mb_are_finished_by_another_in_bounded_memory(stack, client, large_file):
    web, first = stack.webs[0], stack.workers[0]
    web_before = memory_mb(web.pid)
    with large_file.open("rb") as file:
        answer = client.post("/api/v1/sources", files={"file": ("large.txt", file)})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    web_after = memory_mb(web.pid)
    wait_for(lambda: source_of(client, made)["percent"] >= 20, seconds=120)
    worker_peak = memory_mb(first.pid)
    first.kill()
    stopped_at = source_of(client, made)
    assert (stopped_at["status"], stopped_at["searchable"]) == ("processing", False)
    stack.start_worker()
    second = stack.workers[-1]
    # Wakes the new worker; without it, it would look around within a minute.
    small = client.post("/api/v1/sources", json={"name": "small", "text": "Lighthouses warn ships."}).json()
    wait_for(lambda: source_of(client, small)["status"] == "ready", seconds=60)
    time.monotonic()
    done = wait_for(lambda: (now := source_of(client, made))["status"] in {"ready", "failed"} and now, seconds=300)
    assert done["status"] == "ready", done["error"]
    check_whole(stack, made, done, large_file)
    check_events(events_of(stack, client, made["id"]))
    second_peak = memory_mb(second.pid)
    assert web_after - web_before < 60
    assert max(worker_peak, second_peak) < 260


def check_whole(stack, made, done, large_file):
    rows = stack.query(
        "SELECT position, start, c.end, text FROM knowledge_chunk c JOIN knowledge_document d ON d.id = c.document_id "
        "WHERE d.source_id = %s ORDER BY position",
        made["id"],
    )
    assert [row[0] for row in rows] == list(range(done["chunks"]))
    parts, end = [], 0
    for _, start, stop, text in rows:
        assert start <= end
        parts.append(text[end - start :])
        end = stop
    assert "".join(parts) == large_file.read_text()
    vectors = stack.query(
        "SELECT count(*) FROM knowledge_vector v JOIN knowledge_document d ON d.id = v.document_id WHERE d.source_id = %s",
        made["id"],
    )
    assert vectors == [(done["chunks"],)]


def check_events(events):
    types = [type_ for type_, _ in events]
    assert types[0] == "source.ingest.queued"
    assert types[-1] == "source.ingest.completed"
    assert [types.count(each) for each in ("source.ingest.queued", "source.ingest.completed", "source.ingest.failed")] == [
        1,
        1,
        0,
    ]
    percents = [payload["current"] for type_, payload in events if type_ == "source.ingest.progress"]
    assert percents == sorted(set(percents))
    assert len(percents) > 60


def test_an_answer_is_not_disturbed_by_an_ingestion(stack, client, large_file):
    with large_file.open("rb") as file:
        made = client.post("/api/v1/sources", files={"file": ("large.txt", file)}).json()
    wait_for(lambda: source_of(client, made)["percent"] >= 2, seconds=60)
    question = f"!script {json.dumps([{'tokens': 100, 'per_second': 50}])}"
    started = time.monotonic()
    arrivals = []
    with client.stream("POST", "/stream", json={"question": question}) as response:
        arrivals.extend(time.monotonic() for line in response.iter_lines() if '"answer"' in line)
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert arrivals[0] - started < 2
    assert max(gaps) < 1
    assert source_of(client, made)["status"] == "processing"
    assert client.post(f"/api/v1/sources/{made['id']}/cancel").status_code == 202
    wait_for(lambda: stack.query("SELECT count(*) FROM knowledge_document WHERE source_id = %s", made["id"]) == [(0,)])


def test_a_worker_that_is_stopped_hands_its_ingestion_to_the_next(stack, client, large_file):
    with large_file.open("rb") as file:
        made = client.post("/api/v1/sources", files={"file": ("large.txt", file)}).json()
    wait_for(lambda: source_of(client, made)["percent"] >= 2, seconds=60)
    worker = stack.living_workers[0]
    worker.ask_to_stop()
    assert worker.wait(15)
    assert source_of(client, made)["status"] == "queued"
    rows = stack.query("SELECT status, attempts FROM knowledge_ingestion WHERE source_id = %s", made["id"])
    assert rows == [("queued", 0)]
    client.delete(f"/api/v1/sources/{made['id']}").raise_for_status()
    assert stack.query(
        "SELECT count(*) FROM knowledge_chunk c JOIN knowledge_document d ON d.id = c.document_id WHERE d.source_id = %s",
        made["id"],
    ) == [(0,)]
