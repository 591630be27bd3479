"""`POST /api/v1/events`: how other services publish."""

import json
from typing import Any

import httpx
import pytest

from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person, Publisher, in_order

MOST = 100
TYPE = "notification.created"


def event(person: Person, **fields: Any) -> dict[str, Any]:
    return {"user": person.id, "type": TYPE} | fields


async def test_an_event_arrives_as_it_was_sent(stack: Stack, person: Person, publisher: Publisher):
    async with Connection(stack.addresses[1], person.token) as connection:
        scope = {"kind": "source", "id": "s1"}
        payload = {"text": "Grüße\r\n\u2028 \u0000", "deep": [{"n": 1.5, "none": None}]}
        response = await publisher.post(event(person, payload=payload, scope=scope))
        assert response.status_code == 202
        [event_id] = response.json()["ids"]
        await connection.until(lambda seen: seen.frames)
    [frame] = connection.frames
    assert frame.id == frame.data["id"] == event_id
    assert (frame.data["type"], frame.data["scope"], frame.data["payload"]) == (TYPE, scope, payload)
    assert (frame.data["user_id"], frame.data["topic"]) == (person.id, f"user:{person.id}")
    assert set(frame.data) == {"type", "ts", "user_id", "topic", "scope", "payload", "id"}


async def test_the_stream_may_be_named_instead_of_the_user(stack: Stack, person: Person, publisher: Publisher):
    response = await publisher.post({"stream": f"user:{person.id}", "type": TYPE})
    assert response.status_code == 202
    async with Connection(stack.addresses[0], person.token, cursor="0-0") as connection:
        await connection.until(lambda seen: seen.frames)
        assert connection.frames[0].id == response.json()["ids"][0]


async def test_up_to_100_at_once_keep_their_order_and_101_are_refused_whole(stack: Stack, person: Person, publisher: Publisher):
    refused = await publisher.post([event(person) for _ in range(MOST + 1)])
    assert refused.status_code == 400
    assert str(MOST) in refused.json()["detail"]
    taken = await publisher.post([event(person, payload={"n": n}) for n in range(MOST)])
    assert taken.status_code == 202
    ids = taken.json()["ids"]
    assert in_order(ids)
    async with Connection(stack.addresses[0], person.token, cursor="0-0") as connection:
        await connection.until(lambda seen: len(seen.frames) == MOST)
        assert [frame.id for frame in connection.frames] == ids
        assert connection.numbers == list(range(MOST))


async def test_only_staff_publishes(stack: Stack, person: Person, publisher: Publisher):
    async with httpx.AsyncClient() as client:
        for credential, status in ((person.token, 403), (person.key, 403), ("nonsense", 401), ("", 401)):
            headers = {"Authorization": f"Bearer {credential}"} if credential else {}
            response = await client.post(f"{stack.addresses[0]}/api/v1/events", json=event(person), headers=headers)
            assert response.status_code == status, response.text
            assert set(response.json()) >= {"detail"}
    with stack.valkey_client() as valkey:
        assert not valkey.exists(f"tl:{{user:{person.id}}}")


async def test_an_api_key_of_staff_publishes(stack: Stack, person: Person, publisher: Publisher):
    stack.query("UPDATE accounts_user SET is_staff = true WHERE public_id = %s", person.id)
    async with Publisher(stack, person.key) as service:
        assert (await service.post(event(person))).status_code == 202


async def test_the_same_idempotency_key_gives_the_same_id_and_one_event(stack: Stack, person: Person, publisher: Publisher):
    keyed = event(person, idempotency_key="order 17 \u00e9")
    answers = [(await publisher.post(keyed)).json()["ids"][0] for _ in range(4)]
    assert len(set(answers)) == 1
    both = (await publisher.post([keyed, keyed, event(person, idempotency_key="another")])).json()["ids"]
    assert both[0] == both[1] == answers[0]
    async with Connection(stack.addresses[0], person.token, cursor="0-0") as connection:
        await connection.until(lambda seen: len(seen.frames) == 2)
        [last] = await publisher.publish(person)
        await connection.until(lambda seen: seen.frames[-1].id == last)
        assert [frame.id for frame in connection.frames] == [answers[0], both[2], last]


async def test_keys_of_one_user_say_nothing_of_another(stack: Stack, people, publisher: Publisher):
    first, second = people(), people()
    ids = [(await publisher.post(event(each, idempotency_key="same"))).json()["ids"][0] for each in (first, second)]
    for person, event_id in zip((first, second), ids, strict=True):
        async with Connection(stack.addresses[0], person.token, cursor="0-0") as connection:
            await connection.until(lambda seen: seen.frames)
            assert [frame.id for frame in connection.frames] == [event_id]


WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "no type": ({"type": None}, 400),
    "a type that is no word": ({"type": "created"}, 400),
    "a type in capitals": ({"type": "Source.created"}, 400),
    "a type with a line break": ({"type": "a.b\nid: 1-1"}, 400),
    "a long type": ({"type": "a." + "b" * 99}, 400),
    "an unknown user": ({"user": "user_nobody"}, 404),
    "user and stream": ({"stream": "user:x"}, 400),
    "a payload that is no object": ({"payload": [1]}, 400),
    "a scope with an object": ({"scope": {"id": {}}}, 400),
    "a payload too large": ({"payload": {"text": "x" * 70_000}}, 413),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_one_wrong_event_keeps_all_from_being_published(stack: Stack, person: Person, publisher: Publisher, wrong: str):
    fields, status = WRONG[wrong]
    bad = {name: value for name, value in event(person, **fields).items() if value is not None}
    alone = await publisher.post(bad)
    assert alone.status_code == status, alone.text
    response = await publisher.post([event(person), bad, event(person)])
    assert response.status_code == status, response.text
    with stack.valkey_client() as valkey:
        assert not valkey.exists(f"tl:{{user:{person.id}}}")


@pytest.mark.parametrize("stream", ["message:5f3c", "execution:1", "nonsense:1", "nonsense", "user:", ":1", "user:nobody"])
async def test_streams_that_nobody_else_may_write_are_refused(stack: Stack, person: Person, publisher: Publisher, stream: str):
    response = await publisher.post([event(person), {"stream": stream, "type": TYPE}])
    assert response.status_code == (404 if stream == "user:nobody" else 400), response.text
    with stack.valkey_client() as valkey:
        assert not valkey.exists(f"tl:{{user:{person.id}}}")


@pytest.mark.parametrize(
    "body", ["[]", "{}", "1", '"x"', "null", "[1]", "{", '{"user": "u", "type": "a.b", "payload": {"n": NaN}}']
)
async def test_senseless_bodies_are_refused_in_words(stack: Stack, publisher: Publisher, feed_tokens: dict[str, str], body: str):
    headers = {"Authorization": f"Bearer {feed_tokens['demo']}", "Content-Type": "application/json"}
    async with httpx.AsyncClient() as client:
        response = await client.post(f"{stack.addresses[0]}/api/v1/events", content=body, headers=headers)
    assert response.status_code == 400, response.text
    assert json.loads(response.text)


async def test_without_the_broker_publishers_are_told_503_and_when_to_come_back(
    stack: Stack, person: Person, publisher: Publisher
):
    await stack.kill_broker()
    response = await publisher.post(event(person))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    await stack.start_broker()
    assert (await publisher.post(event(person))).status_code == 202
