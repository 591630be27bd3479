"""S0's addresses through the real ASGI application; the answers are made by a runner in the same event loop."""

import asyncio
import json
import uuid
from urllib.parse import quote

import pytest

from accounts.threads import in_thread
from chat.models import Message, Run
from events.event import EventId
from events.metrics import DELIVERED, OPEN_FEEDS, REFUSALS
from events.streams import Stream
from tests.chat.asgi import Client
from tests.chat.conftest import answered, ask, asked, ended, journaled, run_of, script, texts, until
from tests.chat.services.test_answers import prune_all

pytestmark = pytest.mark.usefixtures("hub_closed")


def spoken(frames):
    return "".join(frame.get("answer", "") for frame in frames)


def kinds(frames):
    return [frame["type"] for frame in frames]


def address(message, what="events"):
    return f"/api/messages/{message.pk}/{what}"


async def make_answers(runner):
    """Answers whatever is asked, as procrastinate's loop would have it done."""
    seen = set()
    while True:
        for pk in await in_thread(lambda: list(Run.objects.filter(status="queued").values_list("pk", flat=True))):
            if pk not in seen:
                seen.add(pk)
                await runner.answer(pk)
        await asyncio.sleep(0.01)


@pytest.fixture
async def working(runner):
    task = asyncio.create_task(make_answers(runner))
    yield runner
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_question_is_answered_as_a_stream(working, alice_client):
    delivered = DELIVERED.labels("message")._value.get()
    answer = await alice_client.post("/stream", body={"question": script({"tokens": 20, "per_second": 200})})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    frames = answer.frames()
    assert kinds(frames)[0] == "message_id"
    assert kinds(frames)[-2:] == ["id", "end"]
    assert spoken(frames) == "".join(f"w{n} " for n in range(20))
    assert answer.headers["location"] == f"/api/messages/{frames[0]['message_id']}/events"
    assert frames[-2]["id"] == frames[0]["conversation_id"]
    assert DELIVERED.labels("message")._value.get() > delivered
    assert OPEN_FEEDS.labels("message")._value.get() == 0


async def test_the_rest_after_a_cursor(runner, alice, alice_client):
    message = await asked(alice, {"text": "one"}, {"usage": {"input_tokens": 1, "output_tokens": 1}}, {"text": "two"})
    _, events = await answered(runner, message)
    whole = (await alice_client.get(address(message))).frames()
    assert (kinds(whole), spoken(whole)) == (["message_id", "answer", "answer", "id", "end"], "onetwo")
    after = next(frame["_id"] for frame in whole if frame.get("answer") == "one")
    for rest in (
        await alice_client.get(address(message), headers={"Last-Event-ID": after}),
        await alice_client.get(f"{address(message)}?last_event_id={after}"),
        await alice_client.get(f"{address(message)}?last_event_id=1", headers={"Last-Event-ID": after}),
    ):
        assert spoken(rest.frames()) == "two"
    assert whole[-1]["_id"] == str(events[-1].id.major)


@pytest.mark.parametrize("cursor", ["0", "abc", "-1", "1.5", "99999", "9" * 30, "1-1", "", "\u0661"])
async def test_a_cursor_that_is_none_means_everything(runner, alice, alice_client, cursor):
    message = await asked(alice, {"text": "all"})
    await answered(runner, message)
    frames = (await alice_client.get(f"{address(message)}?last_event_id={quote(cursor)}")).frames()
    assert kinds(frames) == ["message_id", "answer", "id", "end"]


async def test_nothing_is_left_after_the_last_event(runner, alice, alice_client):
    message = await asked(alice, {"text": "all"})
    run, _ = await answered(runner, message)
    answer = await alice_client.get(address(message), headers={"Last-Event-ID": str(run.head)})
    assert (answer.status, answer.body) == (204, b"")


async def test_a_pruned_answer_is_told_whole_from_its_row(runner, alice, alice_client, redis_url):
    import redis

    message = await asked(alice, {"reasoning": "hm"}, {"text": "all"})
    run, _ = await answered(runner, message)
    before = (await alice_client.get(address(message))).frames()
    await in_thread(prune_all)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    for headers in ({}, {"Last-Event-ID": "2"}, {"Last-Event-ID": "99999"}):
        answer = await alice_client.get(address(message), headers=headers)
        assert kinds(answer.frames()) == kinds(before)
        assert spoken(answer.frames()) == "all"
        assert answer.frames()[-1]["_id"] == before[-1]["_id"] == str(run.head)
    done = await alice_client.get(address(message), headers={"Last-Event-ID": str(run.head)})
    assert done.status == 204


async def test_a_reader_that_leaves_stops_nothing(working, alice, alice_client):
    body = {"question": script({"text": "one"}, {"pause": 0.3}, {"text": " two"})}
    left = await alice_client.post("/stream", body=body, until=lambda seen: b"one" in seen)
    assert spoken(left.frames()) == "one"
    message = await in_thread(Message.objects.get, pk=left.frames()[0]["message_id"])
    assert (await ended(message)).message.text == "one two"
    rest = await alice_client.get(address(message), headers={"Last-Event-ID": left.frames()[-1]["_id"]})
    assert spoken(rest.frames()) == " two"


async def test_a_stop_ends_the_stream_and_keeps_the_text(working, alice, alice_client, bob_client):
    message = await asked(alice, {"text": "so far"}, {"hang": True})
    reading = asyncio.create_task(alice_client.get(address(message)))
    await until(lambda: texts(journaled(message)) == "so far")
    assert (await bob_client.post(address(message, "stop"))).status == 404
    stopped = await alice_client.post(address(message, "stop"))
    assert stopped.status == 202
    assert stopped.json()["message_id"] == str(message.pk)
    frames = (await reading).frames()
    assert spoken(frames) == "so far"
    assert frames[-1] | {"_id": None} == {"type": "end", "cancelled": True, "_id": None}
    again = await alice_client.post(address(message, "stop"))
    assert (again.status, again.json()["status"]) == (202, "cancelled")
    tail = (await alice_client.get(address(message, "tail"))).json()
    assert (tail["status"], tail["response"], tail["last_event_id"]) == ("cancelled", "so far", frames[-1]["_id"])


async def test_who_polls_with_a_cursor_beyond_what_can_be_read_is_told_to_come_back(working, alice, alice_client):
    message = await asked(alice, {"text": "so far"}, {"hang": True})
    await until(lambda: texts(journaled(message)) == "so far")
    for headers, query in (({"Last-Event-ID": "1000"}, ""), ({}, "?last_event_id=1000")):
        refused = await alice_client.get(address(message, "tail") + query, headers=headers)
        assert (refused.status, refused.json()["code"], refused.headers["retry-after"]) == (503, "unavailable", "2")
    for cursor in ("1", "of another server"):
        found = await alice_client.get(address(message, "tail"), headers={"Last-Event-ID": cursor})
        assert found.json()["response"] == "so far"
    await alice_client.post(address(message, "stop"))
    await ended(message)


async def test_the_same_key_gives_the_same_answer(working, alice_client):
    headers = {"Idempotency-Key": "k1"}
    first = await alice_client.post("/stream", body={"question": "a b"}, headers=headers)
    again = await alice_client.post("/stream", body={"question": "a b"}, headers=headers)
    assert again.frames()[0]["message_id"] == first.frames()[0]["message_id"]
    assert spoken(again.frames()) == spoken(first.frames()) == "a b"
    other = await alice_client.post("/stream", body={"question": "c"}, headers=headers)
    assert other.status == 409
    assert await in_thread(Message.objects.count) == 2


async def test_a_failure_is_the_last_frame(working, alice_client):
    fail = {"fail": {"code": "quota", "message": "Used up.", "retryable": False}}
    frames = (await alice_client.post("/stream", body={"question": script({"text": "a"}, fail)})).frames()
    assert kinds(frames) == ["message_id", "answer", "error"]
    assert frames[-1] | {"_id": None} == {"type": "error", "error": "Used up.", "code": "quota", "retryable": False, "_id": None}


async def test_too_many_at_once_is_a_429_that_says_when(alice, alice_client, settings):
    settings.CHAT_RUNNING_PER_USER = 1
    await in_thread(ask, alice)
    refused = await alice_client.post("/stream", body={"question": "a"})
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["success"] is False
    assert "Wait for one to end" in refused.json()["message"]


GET = [("GET", "events"), ("GET", "tail"), ("POST", "stop")]


@pytest.mark.parametrize(("method", "what"), GET)
@pytest.mark.parametrize("credential", ["", "nonsense", "sk_" + "0" * 32])
async def test_strangers_get_401(stores, method, what, credential):
    answer = await Client(token=credential).request(method, f"/api/messages/{uuid.uuid4()}/{what}")
    assert answer.status == 401
    assert answer.json()["success"] is False
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "what"), GET)
@pytest.mark.parametrize(
    "id_", ["x", "1", "%00", "{123e4567-e89b-12d3-a456-426614174000}", "123e4567e89b12d3a456426614174000", "a" * 500]
)
async def test_an_id_that_is_none_is_400(alice_client, method, what, id_):
    answer = await alice_client.request(method, f"/api/messages/{id_}/{what}")
    assert answer.status == 400
    assert answer.json()["success"] is False
    assert "message_id must be a UUID" in answer.json()["message"]


@pytest.mark.parametrize(("method", "what"), GET)
async def test_other_peoples_answers_are_404_like_those_that_are_not_there(alice, bob_client, method, what):
    message = await in_thread(ask, alice)
    theirs = await bob_client.request(method, address(message, what))
    nobodys = await bob_client.request(method, f"/api/messages/{uuid.uuid4()}/{what}")
    assert theirs.status == nobodys.status == 404
    assert theirs.body == nobodys.body
    question = await in_thread(Message.objects.get, role="user")
    assert (await bob_client.request(method, address(question, what))).status == 404
    assert (await in_thread(run_of, message)).stop_requested_at is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"question": ""}', b'{"question": "\\ud800"}', b'{"question": "\\u0000"}', b"[" * 200_000],
)
async def test_a_body_that_is_no_question_is_400(alice_client, body):
    answer = await alice_client.post("/stream", body=body)
    assert answer.status == 400
    assert answer.json()["success"] is False
    assert await in_thread(Message.objects.count) == 0


async def test_a_body_that_is_too_large_is_413(alice_client):
    answer = await alice_client.post("/stream", body=b'{"question": "' + b"a" * 1_048_576 + b'"}')
    assert answer.status == 413


async def test_another_method_is_405(alice_client):
    assert (await alice_client.get("/stream")).status == 405
    assert (await alice_client.post(f"/api/messages/{uuid.uuid4()}/events")).status == 405
    assert (await alice_client.request("DELETE", f"/api/messages/{uuid.uuid4()}/tail")).status == 405


async def test_refusals_are_counted_by_reason_in_both_kinds_of_view(alice, bob_client, stores):
    message = await in_thread(ask, alice)

    def counted():
        return {code: REFUSALS.labels(code)._value.get() for code in ("not_found", "unauthenticated", "invalid_request")}

    before = counted()
    await bob_client.get(address(message, "events"))
    await bob_client.get(address(message, "tail"))
    await Client().get(address(message, "events"))
    await Client().get(address(message, "tail"))
    await Client().get("/api/v1/conversations")
    await bob_client.get("/api/v1/conversations?cursor=x")
    after = counted()
    assert {code: after[code] - before[code] for code in after} == {"not_found": 2, "unauthenticated": 3, "invalid_request": 1}


async def test_the_user_feed_tells_of_the_start_and_the_end(working, alice, alice_client):
    before = await in_thread(asked_nothing, alice)
    reading = asyncio.create_task(
        alice_client.get(f"/api/events?last_event_id={before}", until=lambda seen: b"message.finished" in seen)
    )
    answer = await alice_client.post("/stream", body={"question": "a"})
    frames = [frame for frame in (await reading).frames() if frame["type"].startswith("message.")]
    assert [(frame["type"], frame["payload"]["status"]) for frame in frames] == [
        ("message.started", "queued"),
        ("message.finished", "completed"),
    ]
    assert {frame["payload"]["message_id"] for frame in frames} == {answer.frames()[0]["message_id"]}
    json.dumps(frames)


def asked_nothing(caller):
    """The user feed's cursor before anything happened."""
    from events.publishing import publish

    return publish(stream=Stream("user", caller.user_id), type="notification.created", data={}) or EventId(0, 0)
