"""S2's addresses through the real ASGI application; the answers are made by a runner in the same event loop."""

import asyncio
import json
import uuid

import pytest
import redis

from accounts.threads import in_thread
from chat.models import Conversation, Message, Run
from chat.services.engine_requests import engine_request
from events import journal
from tests.chat.conftest import ended, run_of, script, until
from tests.chat.services.test_answers import prune_all
from tests.chat.test_grounding import attached, attachments, kept, rag
from tests.chat.views.test_streams import working  # noqa: F401 - a fixture
from tests.live.rag import RagParser

pytestmark = pytest.mark.usefixtures("hub_closed")

STREAM, COMPLETE = "/api/v1/chat/stream", "/api/v1/chat/complete"
TEA = "Green tea is steeped at eighty degrees. Black tea wants boiling water."


@pytest.fixture(autouse=True)
def _no_model(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "hashing"
    settings.OPENAI_BASE_URL = settings.OPENAI_API_KEY = ""


def frames(answer):
    """What came, each frame with `event`, `id`, `data`; checked for its order."""
    assert answer.status == 200, answer.body
    found = RagParser().feed(answer.body)
    names = [each.event for each in found]
    assert names[0] in {"sources", "error"}
    assert set(names[1:-1]) <= {"text"}
    assert names[-1] in {"done", "error"}
    assert [int(each.id) for each in found] == sorted({int(each.id) for each in found})
    return found


def spoken(found):
    return "".join(each.data["content"] for each in found if each.event == "text")


def message_of(answer):
    return Message.objects.select_related("run").get(pk=answer.headers["location"].rpartition("/")[2])


async def test_sources_then_text_then_done(working, alice, alice_client):  # noqa: F811
    await in_thread(kept, alice, "tea", TEA)
    settings_of_engine = {"query": "At how many degrees is green tea steeped?"}
    answer = await alice_client.post(STREAM, body=settings_of_engine | rag("tea"))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = frames(answer)
    assert found[0].data["sources"][0]["index"] == 1
    assert found[0].data["sources"][0]["text"] == TEA
    assert found[-1].data == {"completed": True}
    assert answer.headers["location"].startswith(f"{STREAM}/")


async def test_the_quotes_have_the_numbers_of_the_sources(working, alice, alice_client, settings):  # noqa: F811
    settings.CHAT_ENGINE = "extractive"
    cups, kettle = [await in_thread(attached, alice, name, f"The {name} is in the cellar.") for name in ("cup", "kettle")]
    body = {"query": "Where is the kettle?", "context_mode": "attachment"}
    found = frames(await alice_client.post(STREAM, body=body | attachments(cups, kettle)))
    assert [each["title"] for each in found[0].data["sources"]] == ["cup", "kettle"]
    assert "> The kettle is in the cellar. [2]" in spoken(found)
    whole = (await alice_client.post(COMPLETE, body=body | attachments(cups, kettle))).json()
    assert (whole["content"], whole["sources"]) == (spoken(found), found[0].data["sources"])


async def test_attachments_of_the_conversation_do_not_shift_the_numbers(working, alice, alice_client, settings):  # noqa: F811
    settings.CHAT_ENGINE = "extractive"
    earlier = {"question": "hello", "attachments": [{"name": "old", "text": "The kettle is old."}]}
    first = (await alice_client.post("/stream", body=earlier)).frames()[0]
    kettle = await in_thread(attached, alice, "kettle", "The kettle is in the cellar.")
    body = {"query": "Where is the kettle?", "context_mode": "attachment", "conversation_id": first["conversation_id"]}
    found = frames(await alice_client.post(STREAM, body=body | attachments(kettle)))
    assert "> The kettle is in the cellar. [1]" in spoken(found)
    assert "old" not in spoken(found)


@pytest.mark.parametrize("mode", ["rag", "attachment", "hybrid", "document", "none"])
async def test_without_any_source_the_order_is_the_same_and_it_is_said_plainly(working, alice_client, settings, mode):  # noqa: F811
    settings.CHAT_ENGINE = "extractive"
    found = frames(await alice_client.post(STREAM, body={"query": "Where is the kettle?", "context_mode": mode}))
    assert found[0].data == {"sources": []}
    said = "Nothing in this conversation matches" if mode == "none" else "The sources hold no answer to your question."
    assert said in spoken(found)


async def test_sources_of_the_engine_do_not_come_again(working, alice_client):  # noqa: F811
    steps = script({"text": "a"}, {"sources": [{"title": "T", "text": "t"}]}, {"reasoning": "hm"}, {"text": "b"})
    found = frames(await alice_client.post(STREAM, body={"query": steps}))
    assert [each.event for each in found] == ["sources", "text", "text", "done"]


async def test_complete_says_what_the_stream_says(working, alice, alice_client):  # noqa: F811
    await in_thread(kept, alice, "tea", TEA)
    steps = script({"reasoning": "hm"}, {"tokens": 30}, {"usage": {"input_tokens": 3, "output_tokens": 30}})
    body = {"query": steps, "seed": 7, "temperature": 0} | rag("tea", "cocoa")
    found = frames(await alice_client.post(STREAM, body=body))
    answer = await alice_client.post(COMPLETE, body=body)
    whole = answer.json()
    assert whole == {
        "content": spoken(found),
        "sources": found[0].data["sources"],
        "missing": ["cocoa"],
        "completed": True,
        "message_id": answer.headers["location"].rpartition("/")[2],
        "conversation_id": whole["conversation_id"],
        "usage": {"input_tokens": 3, "output_tokens": 30},
    }
    assert found[0].data["missing"] == ["cocoa"]
    assert whole["content"] == "".join(f"w{number} " for number in range(30))


async def test_the_rest_after_every_frame(working, alice, alice_client):  # noqa: F811
    await in_thread(kept, alice, "tea", TEA)
    steps = [step for n in range(5) for step in ({"text": f"t{n} "}, {"usage": {"input_tokens": n, "output_tokens": n}})]
    answer = await alice_client.post(STREAM, body={"query": script(*steps)} | rag("tea"))
    place = answer.headers["location"]
    await ended(await in_thread(message_of, answer))
    whole = frames(await alice_client.get(place))
    assert spoken(whole) == "t0 t1 t2 t3 t4 "
    for number, frame in enumerate(whole[:-1]):
        for rest in (
            await alice_client.get(place, headers={"Last-Event-ID": frame.id}),
            await alice_client.get(f"{place}?last_event_id={frame.id}"),
        ):
            assert RagParser().feed(rest.body) == whole[number + 1 :]
            assert rest.headers["location"] == place
    assert (await alice_client.get(place, headers={"Last-Event-ID": whole[-1].id})).status == 204
    assert frames(await alice_client.get(place, headers={"Last-Event-ID": "999999"})) == whole


async def test_a_pruned_answer_is_told_whole_also_without_sources(working, alice_client, redis_url):  # noqa: F811
    body, headers = {"query": "a b"}, {"Idempotency-Key": "pruned"}
    first = await alice_client.post(STREAM, body=body, headers=headers)
    await ended(await in_thread(message_of, first))
    await in_thread(prune_all)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    found = RagParser().feed((await alice_client.get(first.headers["location"])).body)
    assert [each.event for each in found] == ["sources", "text", "done"]
    assert found[0].data == {"sources": []}
    again = await alice_client.post(COMPLETE, body=body, headers=headers)
    assert (again.json()["content"], again.json()["completed"]) == ("a b", True)


async def test_a_failure_after_the_start_is_an_error_and_then_the_end(working, alice_client):  # noqa: F811
    steps = script({"text": "so far"}, {"fail": {"code": "broken", "message": "It broke.", "retryable": False}})
    found = frames(await alice_client.post(STREAM, body={"query": steps}))
    assert [each.event for each in found] == ["sources", "text", "error"]
    assert found[-1].data == {"code": "broken", "message": "It broke."}


@pytest.mark.parametrize(("retryable", "status"), [(False, 500), (True, 503)])
async def test_complete_fails_with_a_status(working, alice_client, retryable, status):  # noqa: F811
    steps = script({"text": "so far"}, {"fail": {"code": "broken", "message": "It broke.", "retryable": retryable}})
    answer = await alice_client.post(COMPLETE, body={"query": steps})
    assert (answer.status, answer.json()) == (status, {"detail": "It broke.", "code": "broken"})
    assert ("retry-after" in answer.headers) is retryable
    rest = frames(await alice_client.get(answer.headers["location"]))
    assert spoken(rest) == "so far"


async def test_a_document_that_is_not_ours_fails_the_answer(working, alice_client, bob):  # noqa: F811
    theirs = await in_thread(attached, bob, "secret", "The secret of bob.")
    body = {"query": "secret", "context_mode": "attachment"} | attachments(theirs)
    found = frames(await alice_client.post(STREAM, body=body))
    assert [each.event for each in found] == ["error"]
    assert found[0].data["code"] == "context_not_found"
    assert "secret of bob" not in json.dumps(found[0].data)
    answer = await alice_client.post(COMPLETE, body=body)
    assert (answer.status, answer.json()["code"]) == (404, "context_not_found")


@pytest.mark.parametrize("chosen", ["none", "nonsense"])
@pytest.mark.parametrize("address", [STREAM, COMPLETE])
async def test_without_an_engine_it_is_refused_before_the_start(stores, alice_client, settings, address, chosen):
    settings.CHAT_ENGINE = chosen
    answer = await alice_client.post(address, body={"query": "x"})
    assert answer.status == 503
    assert answer.json()["code"] == "engine_not_configured"
    assert "CHAT_ENGINE" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    assert not await in_thread(Run.objects.exists)
    # What is wrong with the request is told first, and who may not ask is told neither.
    assert (await alice_client.post(address, body={})).status == 422


@pytest.mark.parametrize("address", [STREAM, COMPLETE])
async def test_a_wrong_request_is_refused_as_fastapi_does(stores, alice_client, address):
    answer = await alice_client.post(address, body={"query": "", "max_tokens": 8193})
    assert answer.status == 422
    assert [(each["loc"], each["type"]) for each in answer.json()["detail"]] == [
        (["body", "query"], "string_too_short"),
        (["body", "max_tokens"], "less_than_equal"),
    ]
    assert not await in_thread(Conversation.objects.exists)
    wrong = await alice_client.post(address, body=b'{"query": "x", "temperature": NaN, "system_prompt": "\\ud800"}')
    assert wrong.status == 422
    assert {each["loc"][1] for each in wrong.json()["detail"]} == {"temperature", "system_prompt"}


@pytest.mark.parametrize("address", [STREAM, COMPLETE, f"{STREAM}/5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f"])
async def test_who_is_nobody_is_refused_first(stores, address):
    from tests.chat.asgi import Client

    method = "GET" if address.count("/") > 4 else "POST"
    answer = await Client().request(method, address, body=b"" if method == "GET" else b"not json")
    assert answer.status == 401
    assert set(answer.json()) == {"detail", "code"}


async def test_what_is_someone_elses_is_not_there(working, alice_client, bob_client):  # noqa: F811
    answer = await alice_client.post(STREAM, body={"query": "mine"})
    theirs = await bob_client.get(answer.headers["location"])
    unknown = await bob_client.get(f"{STREAM}/{uuid.uuid4()}")
    assert (theirs.status, theirs.json()) == (unknown.status, unknown.json())
    assert theirs.status == 404
    assert (await bob_client.get(f"{STREAM}/nonsense")).status == 400


async def test_the_same_key_is_the_same_answer_streamed_or_whole(working, alice_client, bob_client):  # noqa: F811
    body, headers = {"query": "a b c"}, {"Idempotency-Key": "k"}
    first = await alice_client.post(STREAM, body=body, headers=headers)
    again = await alice_client.post(STREAM, body=body, headers=headers)
    whole = await alice_client.post(COMPLETE, body=body, headers=headers)
    assert first.headers["location"] == again.headers["location"] == whole.headers["location"]
    assert spoken(frames(first)) == spoken(frames(again)) == whole.json()["content"]
    assert (await alice_client.post(STREAM, body={"query": "d"}, headers=headers)).status == 409
    other = await bob_client.post(STREAM, body=body, headers=headers)
    assert other.headers["location"] != first.headers["location"]


async def test_many_posts_of_one_key_at_once_are_one_answer(working, alice_client):  # noqa: F811
    body, headers = {"query": "a b c"}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(alice_client.post(address, body=body, headers=headers) for address in (STREAM, COMPLETE) * 4)
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["location"] for answer in answers}) == 1


async def test_a_stop_is_an_error_with_the_code_cancelled(working, alice_client):  # noqa: F811
    body, headers = {"query": script({"text": "so far"}, {"hang": True})}, {"Idempotency-Key": "k"}
    reading = asyncio.create_task(alice_client.post(STREAM, body=body, headers=headers))
    waiting = asyncio.create_task(alice_client.post(COMPLETE, body=body, headers=headers))
    message = await until(lambda: Message.objects.filter(run__status="running").first())
    place = f"{STREAM}/{message.pk}"
    started = await alice_client.get(place, until=lambda seen: b"so far" in seen)
    assert b"so far" in started.body
    assert (await alice_client.post(f"/api/messages/{message.pk}/stop")).status == 202
    found = frames(await reading)
    assert [each.event for each in found] == ["sources", "text", "error"]
    assert found[-1].data == {"code": "cancelled", "message": "The answer was stopped."}
    whole = await waiting
    assert (whole.status, whole.json()["content"], whole.json()["completed"]) == (200, "so far", False)


async def test_a_conversation_goes_on_under_its_id_and_under_a_name_of_ones_own(working, alice_client, bob_client):  # noqa: F811
    async def asked(client, text, conversation):
        answer = await client.post(COMPLETE, body={"query": text, "conversation_id": conversation})
        return answer.json()["conversation_id"]

    named = await asked(alice_client, "one", "my own name")
    assert await asked(alice_client, "two", "my own name") == named
    assert await asked(alice_client, "three", named) == named
    # The same name of another is another conversation, and an id of another's is only a name.
    theirs = await asked(bob_client, "one", "my own name")
    assert theirs != named
    assert await asked(bob_client, "two", named) not in {named, theirs}
    assert await asked(alice_client, "new", None) != named
    found = await alice_client.get(f"/api/v1/conversations/{named}/messages")
    assert [each["text"] for each in found.json()["results"]] == ["one", "one", "two", "two", "three", "three"]


async def test_history_of_the_request_stands_for_that_of_the_conversation(working, alice_client, settings):  # noqa: F811
    settings.CHAT_ENGINE = "extractive"
    said = {"query": "My cat is called Felix.", "conversation_id": "pets", "context_mode": "none"}
    await alice_client.post(COMPLETE, body=said)
    ask = {"query": "What is my cat called?", "conversation_id": "pets", "context_mode": "none"}
    assert "Felix" in (await alice_client.post(COMPLETE, body=ask)).json()["content"]
    history = [{"role": "system", "content": "My cat is a dog."}, {"role": "user", "content": "My cat is called Tom."}]
    given = (await alice_client.post(COMPLETE, body=ask | {"history": history})).json()["content"]
    assert "> My cat is called Tom." in given
    assert "Felix" not in given


async def test_what_the_request_says_reaches_the_engine(working, alice, alice_client):  # noqa: F811
    def request_of(message):
        return engine_request(run_of(message))

    body = {
        "query": "x",
        "temperature": 0.25,
        "max_tokens": 99,
        "seed": 5,
        "llm_model": "big-one",
        "system_prompt": "Be kind.",
        "history": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
        ],
    }
    answer = await alice_client.post(STREAM, body=body)
    request = await in_thread(request_of, await in_thread(message_of, answer))
    assert request.options == {"temperature": 0.25, "max_tokens": 99, "seed": 5, "model": "big-one"}
    assert request.system_prompt == "Be kind.\n\nBe brief."
    assert [(turn.role, turn.text) for turn in request.history] == [("user", "Hi"), ("assistant", "Hello")]
    default = await alice_client.post(STREAM, body={"query": "x", "llm_model": "gpt-4o-mini"})
    options = (await in_thread(request_of, await in_thread(message_of, default))).options
    assert options == {"temperature": 0.7, "max_tokens": 1024}


async def test_it_is_journaled_and_seen_like_every_answer(working, alice, alice_client):  # noqa: F811
    await in_thread(kept, alice, "tea", TEA)
    answer = await alice_client.post(STREAM, body={"query": "tea"} | rag("tea"))
    message = await in_thread(message_of, answer)
    run = await ended(message)
    tail = (await alice_client.get(f"/api/messages/{message.pk}/tail")).json()
    assert (tail["status"], tail["response"]) == ("completed", "tea")
    assert tail["sources"] == frames(answer)[0].data["sources"]
    other = (await alice_client.get(f"/api/messages/{message.pk}/events")).frames()
    assert next(each["source"] for each in other if each["type"] == "source") == tail["sources"]
    from chat.services.questions import message_stream
    from events.event import START

    stored = await in_thread(journal.read, message_stream(message.pk), START)
    assert [event.type for event in stored][:2] == ["run.started", "sources"]
    assert stored[-1].id.major == run.head
