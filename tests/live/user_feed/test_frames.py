"""Defects F and M, the push switch, and what browsers of other origins need."""

import re

import httpx

from tests.live.conftest import Client
from tests.live.processes import Stack
from tests.live.user_feed.wire import Connection, Person, Publisher

ORIGIN = "https://app.example"
RUNNING = [{"text": "I begin"}, {"pause": 30}]


async def test_a_fresh_connection_knows_what_is_still_open(stack: Stack, alice: Client):
    """Defect F: what was published while the user was away was never shown to a client without a cursor."""
    running = await alice.ask(RUNNING)
    async with Connection(stack.addresses[1], alice.token) as connection:
        await connection.until(lambda seen: seen.frames)
        told = [frame for frame in connection.frames if frame.data["payload"].get("message_id") == running]
        [pending] = told
        assert pending.id is None
        assert "id" not in pending.data
        assert pending.data["type"] == "message.started"
        assert pending.data["payload"]["status"] in {"queued", "running"}
        assert pending.data["topic"] == f"user:{pending.data['user_id']}"
        assert (await alice.stop(running)).status_code == 202
        await connection.until(lambda seen: seen.types[-1] == "message.finished")
        assert connection.frames[-1].id is not None
    async with Connection(stack.addresses[0], alice.token) as connection:
        new = await alice.ask([{"text": "hi"}])
        await connection.until(lambda seen: [each for each in seen.frames if each.data["payload"]["message_id"] == new])
        assert running not in [frame.data["payload"]["message_id"] for frame in connection.frames]


async def test_pending_state_can_be_turned_off_and_does_not_come_with_a_replay(stack: Stack, alice: Client, publisher: Publisher):
    running = await alice.ask(RUNNING)
    try:
        person = Person((await alice.request("GET", "/api/v1/auth/me")).json()["id"], alice.token, "")
        for options in ({"query": {"pending": "0"}}, {"cursor": (await publisher.publish(person))[0]}):
            async with Connection(stack.addresses[0], alice.token, **options) as connection:
                [live] = await publisher.publish(person)
                await connection.until(lambda seen, live=live: seen.frames and seen.frames[-1].id == live)
                assert connection.stored == connection.frames
    finally:
        await alice.stop(running)


async def test_no_frame_has_an_id_that_is_no_cursor(stack: Stack, person: Person, publisher: Publisher):
    """Defect M: `id: -1` of a control frame became the cursor of every client that keeps ids as they come."""
    ids = await publisher.publish(person, 3)
    async with (
        Connection(stack.addresses[0], person.token, cursor="1-1") as unknown,
        Connection(stack.addresses[0], person.token) as fresh,
    ):
        await unknown.until(lambda seen: len(seen.frames) == 4)
        [live] = await publisher.publish(person)
        for connection in (unknown, fresh):
            await connection.until(lambda seen: seen.frames and seen.frames[-1].id == live)
            lines = re.findall(rb"^id:.*$", connection.raw, re.MULTILINE)
            assert all(re.fullmatch(rb"id: \d+-\d+", line) for line in lines)
        assert [frame.id for frame in unknown.frames] == [None, *ids, live]


async def test_a_stream_begins_with_a_comment_and_has_neither_event_names_nor_carriage_returns(
    stack: Stack, person: Person, publisher: Publisher
):
    async with Connection(stack.addresses[0], person.token) as connection:
        await connection.until(lambda seen: seen.raw)
        await publisher.post({"user": person.id, "type": "a.b", "payload": {"text": "1\r\n2\r3\n\n4\u2028"}})
        await connection.until(lambda seen: seen.frames)
        assert connection.raw.startswith(b": connected\n")
        assert b"retry: 200\n" in connection.raw
        assert b"\r" not in connection.raw
        assert b"event:" not in connection.raw
        assert connection.raw.count(b"data: ") == 1
        headers = connection.response.headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["X-Accel-Buffering"] == "no"
    assert "no-" in headers["Cache-Control"]


async def test_without_push_a_stream_says_so_and_ends_and_publishers_do_nothing(
    stack: Stack, person: Person, feed_tokens: dict[str, str], web_with
):
    address = web_with(ENABLE_SSE_PUSH="false")
    for _ in range(20):
        async with Connection(address, person.token, cursor="0-0") as connection:
            await connection.until(lambda seen: seen.over)
            assert connection.raw == b": push_disabled\n"
            assert not connection.broken
    async with httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {feed_tokens['demo']}"}
        response = await client.post(f"{address}/api/v1/events", json={"user": person.id, "type": "a.b"}, headers=headers)
    assert (response.status_code, response.json()) == (202, {"ids": [None]})
    with stack.valkey_client() as valkey:
        assert not valkey.keys(f"*{person.id}*")


async def test_without_credentials_the_answer_is_401_in_the_seeds_words(stack: Stack):
    for token in ("", "nonsense", "sk_" + "0" * 32):
        async with Connection(stack.addresses[0], token) as connection:
            assert connection.status == 401
            assert connection.response.json()["success"] is False
            assert connection.response.headers["WWW-Authenticate"] == "Bearer"


PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,last-event-id",
}


async def check_cross_origin(address: str, person: Person) -> None:
    async with httpx.AsyncClient() as client:
        preflight = await client.options(f"{address}/api/events", headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
        allowed = {each.strip().lower() for each in preflight.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"authorization", "last-event-id"} <= allowed
        foreign = await client.options(f"{address}/api/events", headers=PREFLIGHT | {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in foreign.headers
    async with Connection(address, person.token, cursor="0-0", headers={"Origin": ORIGIN}) as connection:
        assert connection.response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "retry-after" in connection.response.headers["Access-Control-Expose-Headers"].lower()
    async with Connection(address, "nonsense", headers={"Origin": ORIGIN}) as refused:
        assert refused.status == 401
        assert refused.response.headers["Access-Control-Allow-Origin"] == ORIGIN, "else a page could not read why"


async def test_pages_of_allowed_origins_may_send_a_token_and_a_cursor(person: Person, web_with):
    await check_cross_origin(web_with(DJANGO_SETTINGS_MODULE="tests.live.user_feed.cross_origin"), person)


async def test_allowed_origins_may_be_set_in_the_environment(person: Person, web_with):
    await check_cross_origin(web_with(CORS_ALLOWED_ORIGINS=f"{ORIGIN},https://other.example"), person)


async def test_metrics_count_feeds_events_and_refusals(stack: Stack, person: Person, publisher: Publisher):
    """Defect O: nothing was measured."""
    async with httpx.AsyncClient() as client, Connection(stack.addresses[0], person.token) as connection:
        await publisher.publish(person, 2)
        await connection.until(lambda seen: len(seen.frames) == 2)
        async with Connection(stack.addresses[0], "nonsense") as refused:
            assert refused.status == 401
        page = (await client.get(f"{stack.addresses[0]}/metrics")).text
    values = {name: float(value) for name, value in re.findall(r"^(throughline_[^ ]+) ([0-9.e+]+)$", page, re.MULTILINE)}
    assert values['throughline_open_feeds{kind="user"}'] >= 1
    assert values['throughline_events_delivered_total{kind="user"}'] >= 2
    assert values['throughline_refusals_total{reason="unauthenticated"}'] >= 1
    assert values["throughline_delivery_lag_seconds_count"] >= 1
