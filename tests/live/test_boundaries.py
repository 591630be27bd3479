"""What one user can see of another, and what is said to requests that make no sense."""

import asyncio
import json
import uuid

import httpx
import pytest

from tests.live.conftest import Client, words
from tests.live.processes import Stack
from tests.live.readers import Seen, check_answer

TALK = [{"tokens": 3000, "per_second": 50}]
OF_AN_ANSWER = [("GET", "events"), ("GET", "tail"), ("POST", "stop")]


def is_over(seen: Seen) -> bool:
    return seen.over


def counts(stack: Stack) -> list[tuple]:
    """How many rows there are of all that a question makes."""
    tables = (
        "chat_conversation",
        "chat_message",
        "chat_run",
        "chat_idempotencykey",
        "events_durablestream",
        "events_journalevent",
    )
    return [stack.query(f"SELECT count(*) FROM {table}")[0] for table in tables]


async def test_other_peoples_answers_do_not_exist(stack: Stack, alice: Client, bob: Client):
    running = await alice.ask(TALK)
    frame = await alice.open("hello")
    ended, conversation = frame.data["message_id"], frame.data["conversation_id"]
    async with alice.reader(ended) as reader:
        await reader.until(is_over, within=10)
    before = stack.run(running)
    for at in (0, 1):
        for method, what in OF_AN_ANSWER:
            nowhere = await bob.request(method, f"/api/messages/{uuid.uuid4()}/{what}", at=at)
            for message_id in (running, ended):
                response = await bob.request(method, f"/api/messages/{message_id}/{what}", at=at)
                assert response.status_code == 404, (method, what)
                # Nothing tells them apart.
                assert response.json() == nowhere.json()
                assert response.json()["success"] is False
        for method, path in (("GET", ""), ("GET", "/messages"), ("PATCH", ""), ("DELETE", "")):
            body = {"json": {"title": "mine"}} if method == "PATCH" else {}
            response = await bob.request(method, f"/api/v1/conversations/{conversation}{path}", at=at, **body)
            assert response.status_code == 404, (method, path)
        response = await bob.request("POST", "/stream", at=at, json={"question": "hi", "conversation_id": conversation})
        assert response.status_code == 404
    listed = (await bob.request("GET", "/api/v1/conversations")).json()["results"]
    assert conversation not in [each["id"] for each in listed]
    assert stack.run(running) == before
    assert (await alice.tail(running))["status"] == "running"
    await alice.stop(running)


@pytest.mark.parametrize(
    "bad", ["x", "123", "0" * 32, "{" + str(uuid.UUID(int=7)) + "}", "urn:uuid:" + str(uuid.UUID(int=7)), "%00"]
)
async def test_malformed_ids_are_400(stack: Stack, alice: Client, bad: str):
    for method, what in OF_AN_ANSWER:
        response = await alice.request(method, f"/api/messages/{bad}/{what}")
        assert response.status_code == 400, (method, what, response.text)
        assert response.json()["message"]
    response = await alice.request("GET", f"/api/v1/conversations/{bad}")
    assert response.status_code == 400
    assert response.json()["detail"]


async def test_nothing_is_given_to_nobody(stack: Stack, alice: Client):
    message_id = await alice.ask([{"tokens": 3}])
    paths = [(method, f"/api/messages/{message_id}/{what}") for method, what in OF_AN_ANSWER]
    paths += [("POST", "/stream"), ("GET", "/api/events"), ("GET", "/api/v1/conversations")]
    async with httpx.AsyncClient(base_url=stack.addresses[1], timeout=10) as client:
        for method, path in paths:
            for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer sk_" + "0" * 32}):
                response = await client.request(method, path, headers=headers)
                assert response.status_code == 401, (method, path, headers)
                assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_same_key_and_body_at_once_over_both_processes_make_one_answer(stack: Stack, alice: Client):
    before = counts(stack)
    question = f"!script {json.dumps([{'tokens': 12, 'per_second': 20}])}"
    key = {"Idempotency-Key": str(uuid.uuid4())}
    frames = await asyncio.gather(*(alice.open(question, at=number % 2, headers=key) for number in range(12)))
    assert len({json.dumps(frame.data) for frame in frames}) == 1
    message_id = frames[0].data["message_id"]
    async with alice.reader(message_id) as reader:
        await reader.until(is_over, within=10)
    check_answer(reader, words(12))
    again = await alice.open(question, at=1, headers=key)
    assert again.data == frames[0].data
    grown = [now[0] - then[0] for then, now in zip(before, counts(stack), strict=True)]
    assert grown[:5] == [1, 2, 1, 1, 1]


async def test_the_same_key_with_another_body_is_a_conflict_and_another_users_key_is_his_own(
    stack: Stack, alice: Client, bob: Client
):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = await alice.open("one", headers=key)
    for at in (0, 1):
        response = await alice.request("POST", "/stream", at=at, json={"question": "two"}, headers=key)
        assert response.status_code == 409
        assert response.json()["success"] is False
    assert (await bob.open("one", headers=key)).data["message_id"] != first.data["message_id"]


DEEP = b'{"question": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
BAD_BODIES = {
    "empty": (b"", 400),
    "not JSON": (b"question=hi", 400),
    "half": (b'{"question": "hi"', 400),
    "not UTF-8": (b'{"question": "\xff\xfe"}', 400),
    "a list": (b'["hi"]', 400),
    "a string": (b'"hi"', 400),
    "null": (b"null", 400),
    "no question": (b"{}", 400),
    "an empty question": (b'{"question": "  "}', 400),
    "null question": (b'{"question": null}', 400),
    "a number": (b'{"question": 7}', 200),
    "a list as question": (b'{"question": ["hi"]}', 400),
    "an object as question": (b'{"question": {"a": 1}}', 400),
    "a boolean": (b'{"question": true}', 400),
    "NUL": (b'{"question": "a\\u0000b"}', 400),
    "a lone surrogate": (b'{"question": "a\\ud83d b"}', 400),
    "a lone low surrogate in a name": (b'{"question": "a", "attachments": [{"name": "\\udc00", "text": "t"}]}', 400),
    "NaN": (b'{"question": "a", "temperature": NaN}', 400),
    "infinity": (b'{"question": "a", "temperature": Infinity}', 400),
    "a huge number": (b'{"question": "a", "max_tokens": 1' + b"0" * 5000 + b"}", 400),
    "deep": (DEEP, 400),
    "too long a question": (json.dumps({"question": "a" * 100_001}).encode(), 400),
    "too large": (b'{"question": "' + b"a" * 1_100_000 + b'"}', 413),
    "a bad conversation": (b'{"question": "a", "conversation_id": "x"}', 400),
    "a conversation of a wrong type": (b'{"question": "a", "conversation_id": {"a": []}}', 400),
    "an unknown conversation": (json.dumps({"question": "a", "conversation_id": str(uuid.UUID(int=7))}).encode(), 404),
    "an unknown application": (b'{"question": "a", "application_id": "app_none"}', 404),
    "attachments of a wrong type": (b'{"question": "a", "attachments": {"name": "x"}}', 400),
    "an attachment without text": (b'{"question": "a", "attachments": [{"name": "x"}]}', 400),
}


@pytest.mark.parametrize("name", [name for name, (_, status) in BAD_BODIES.items() if status != 200])
async def test_bad_bodies_get_a_clear_answer_and_leave_nothing(stack: Stack, alice: Client, name: str):
    body, status = BAD_BODIES[name]
    before = counts(stack)
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    response = await alice.request("POST", "/stream", content=body, headers=headers)
    assert response.status_code == status, response.text
    said = response.json()
    assert said["success"] is False
    assert 10 < len(said["message"]) < 400
    assert counts(stack) == before


async def test_text_of_every_kind_comes_back_as_it_was_sent(stack: Stack, alice: Client):
    text = "a\u2028b\u2029c\r\nd\te \U0001f600 \u0085 \ufeff \x1b[0m </script> \\u0000 \x7f data: x\n\nid: 9\n\n"
    message_id = await alice.ask([{"text": text}])
    async with alice.reader(message_id) as reader:
        await reader.until(is_over, within=10)
    check_answer(reader, text)
    assert (await alice.tail(message_id))["response"] == text


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"fail": {"code": "overloaded", "message": "Too much.", "retryable": True}}, "overloaded"),
        ({"crash": True}, "engine_failed"),
        ({"no_finish": True}, "engine_incomplete"),
    ],
    ids=["fails", "crashes", "ends without saying so"],
)
async def test_an_engine_that_goes_wrong_keeps_its_text(stack: Stack, alice: Client, end: dict, code: str):
    message_id = await alice.ask([{"tokens": 10}, end])
    async with alice.reader(message_id) as reader:
        await reader.until(is_over, within=10)
    check_answer(reader, words(10), last="error")
    assert reader.last["code"] == code
    tail = await alice.tail(message_id)
    assert (tail["status"], tail["response"], tail["error"]["code"]) == ("failed", words(10), code)
