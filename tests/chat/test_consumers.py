import asyncio
import json

import pytest

from accounts.threads import in_thread
from chat.consumers import ChatConsumer
from chat.models import ChatSession, Conversation, IdempotencyKey, Message, Participant, Run
from chat.services import runs, sessions
from chat.services.questions import Question, ask
from chat.services.resuming import standing
from events.event import EventId
from tests.chat.conftest import _person, _token, script, until
from tests.events.sockets import Socket

pytestmark = pytest.mark.usefixtures("hub_closed")

TEXT = [
    {"text": "Based on the Q4 report, "},
    {"pause": 0.05},
    {"text": "revenue increased "},
    {"pause": 0.05},
    {"text": "by 15%."},
]
WHOLE = "Based on the Q4 report, revenue increased by 15%."
ENDS = {"response_end", "done", "error"}


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.CHAT_RESUME_SECONDS = 0.2
    settings.GRACEFUL_SHUTDOWN_SECONDS = 0.1


@pytest.fixture
def carol(organization):
    """A colleague of alice's."""
    return _person("carol", organization)


@pytest.fixture
async def worker(runner):
    """Answers whatever is asked, as a worker does."""

    async def work():
        while True:
            for message_id in await in_thread(runs.queued, limit=16):
                await runner.answer(message_id)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    yield runner
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def connect(caller, name="session-abc", **options):
    """A socket in a session, once it is connected."""
    query = {"token": await in_thread(_token, caller)} | options.pop("query", {})
    socket = Socket(ChatConsumer, f"/ws/chat/{name}", query=query, path_args={"session_id": name}, **options)
    assert (await socket.next())["type"] == "connected"
    return socket


def chat(*steps, **fields):
    return {"type": "chat", "content": script(*steps) if steps else "hello there", **fields}


async def next_of(socket, *types, **fields):
    """The next frame of one of these types with these fields; what comes before it is passed over."""
    while True:
        frame = await socket.next(seconds=10)
        if frame["type"] in types and fields.items() <= frame.items():
            return frame


async def answer_frames(socket):
    """The frames of the next answer, to its end."""
    frames = []
    while not frames or frames[-1]["type"] not in ENDS:
        frames.append(await socket.next(seconds=10))
    return frames


def text(frames):
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")


async def share(owner, *others, name="session-abc"):
    for other in others:
        await in_thread(sessions.add_participant, caller=owner, name=name, user_id=other.user_id)


async def test_connected_names_the_session_as_the_client_does_and_the_user(alice):
    socket = await connect(alice)
    hello = socket.frames[0]
    assert hello.items() >= {"type": "connected", "session_id": "session-abc", "user_id": "user_alice"}.items()
    assert hello["participants"] == ["user_alice"]
    assert socket.consumer.session == "session-abc"
    await socket.leave()


async def test_an_answer_comes_in_the_frames_of_the_document(alice, worker):
    socket = await connect(alice)
    sources = {"sources": [{"title": "Q4", "text": "15%"}]}
    socket.say(chat(*TEXT, sources, {"usage": {"input_tokens": 30, "output_tokens": 12}}))
    frames = await answer_frames(socket)
    deltas = [frame for frame in frames if frame["type"] == "text-delta"]
    assert [frame["type"] for frame in frames] == ["response_start", *["text-delta"] * len(deltas), "sources", "response_end"]
    assert [frame["index"] for frame in deltas] == list(range(len(deltas)))
    assert text(frames) == WHOLE
    assert frames[-1].items() >= {"full_response": WHOLE, "tokens_used": 12}.items()
    assert frames[-1]["response_time"] > 0
    assert len({frame["message_id"] for frame in frames}) == 1
    assert [frame["seq"] for frame in frames] == sorted({frame["seq"] for frame in frames})
    await socket.leave()


async def test_without_chat_id_a_conversation_begins_and_with_it_goes_on(alice, worker):
    socket = await connect(alice)
    chat_ids = []
    for fields in ({}, {}, {"chat_id": "first"}, {"chat_id": "mine"}, {"chat_id": "mine"}):
        if fields.get("chat_id") == "first":
            fields = {"chat_id": chat_ids[0]}
        socket.say(chat(**fields))
        chat_ids.append((await answer_frames(socket))[0]["chat_id"])
    assert chat_ids[2] == chat_ids[0] != chat_ids[1]
    assert chat_ids[3] == chat_ids[4] not in chat_ids[:3]
    await socket.leave()


async def test_several_answers_come_at_once_each_under_its_name(alice, worker):
    socket = await connect(alice)
    for ref in ("a", "b", "c"):
        socket.say(chat({"text": ref}, {"pause": 0.1}, {"text": ref}, ref=ref))
    begun = [await next_of(socket, "response_start") for _ in range(3)]
    names = {frame["message_id"]: frame["ref"] for frame in begun}
    await until(lambda: socket.types.count("response_end") == 3)
    said = {names[frame["message_id"]]: frame["full_response"] for frame in socket.frames if frame["type"] == "response_end"}
    assert said == {"a": "aa", "b": "bb", "c": "cc"}
    await socket.leave()


async def test_what_is_slow_blocks_nothing(alice, worker):
    socket = await connect(alice)
    socket.say(chat({"text": "one"}, {"hang": True}))
    await next_of(socket, "text-delta")
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


@pytest.mark.parametrize("named", [True, False])
async def test_an_answer_is_cancelled(alice, worker, named):
    socket = await connect(alice)
    socket.say(chat({"text": "so far"}, {"hang": True}))
    message_id = (await next_of(socket, "text-delta"))["message_id"]
    socket.say({"type": "cancel"} | ({"message_id": message_id} if named else {}))
    assert (await next_of(socket, "response_end")).items() >= {"cancelled": True, "full_response": "so far"}.items()
    await socket.leave()


async def test_an_answer_that_no_worker_has_begun_is_cancelled(alice, runner):
    socket = await connect(alice)
    socket.say(chat())
    await next_of(socket, "response_start")
    socket.say({"type": "cancel"})
    assert (await next_of(socket, "response_end"))["cancelled"] is True
    await socket.leave()


async def test_cancelling_nothing_and_what_is_not_yours_is_an_error(alice, bob, worker):
    socket = await connect(alice)
    assert (await socket.answer({"type": "cancel", "ref": 7})).items() >= {
        "type": "error",
        "code": "invalid_request",
        "ref": 7,
    }.items()
    theirs = await in_thread(ask, caller=bob, question=Question("hello"))
    assert (await socket.answer({"type": "cancel", "message_id": str(theirs.pk)}))["code"] == "not_found"
    await socket.leave()


async def test_a_failed_answer_ends_in_an_error_that_names_it(alice, worker):
    socket = await connect(alice)
    socket.say(chat({"text": "so far"}, {"fail": {"code": "provider_down", "message": "It is down.", "retryable": True}}))
    frames = await answer_frames(socket)
    assert (
        frames[-1].items()
        >= {"type": "error", "code": "provider_down", "message": "It is down.", "full_response": "so far"}.items()
    )
    assert frames[-1]["message_id"] == frames[0]["message_id"]
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_cut_after_every_frame_and_resumed_it_is_the_same(alice, worker):
    steps = [{"text": f"{n} "} if n % 2 else {"pause": 0.03} for n in range(12)]
    socket = await connect(alice)
    socket.say(chat({"reasoning": "hm"}, *steps))
    uncut = [await socket.next(seconds=10)]
    message_id = uncut[0]["message_id"]
    position, told = uncut[0]["seq"], []
    while not told or told[-1]["type"] != "response_end":
        await socket.leave()
        socket = await connect(alice)
        socket.say({"type": "resume", "message_id": message_id, "since": position})
        told.append(await socket.next(seconds=10))
        assert told[-1]["seq"] > position
        position = told[-1]["seq"]
    assert told[-1]["full_response"] == text(told) == "".join(f"{n} " for n in range(1, 12, 2))
    indexes = [frame["index"] for frame in told if "index" in frame]
    assert indexes == sorted(set(indexes))
    assert indexes[0] == 0
    await socket.leave()


async def test_one_who_has_seen_the_end_is_told_the_end_again(alice, worker):
    socket = await connect(alice)
    socket.say(chat(*TEXT))
    frames = await answer_frames(socket)
    again = await socket.answer({"type": "resume", "message_id": frames[0]["message_id"], "since": frames[-1]["seq"]})
    assert again == frames[-1]
    await socket.leave()


@pytest.mark.parametrize("since", [0, "0", 99999, "0-0"])
async def test_the_beginning_and_a_cursor_beyond_the_end_are_everything(alice, worker, since):
    socket = await connect(alice)
    socket.say(chat(*TEXT))
    frames = await answer_frames(socket)
    socket.say({"type": "resume", "message_id": frames[0]["message_id"], "since": since})
    again = await answer_frames(socket)
    assert again[0]["type"] == "response_start"
    assert text(again) == WHOLE
    assert again[-1] == frames[-1]
    await socket.leave()


async def test_an_answer_whose_journal_is_pruned_is_told_from_its_row(alice, worker, monkeypatch):
    socket = await connect(alice)
    socket.say(chat(*TEXT))
    frames = await answer_frames(socket)
    monkeypatch.setattr("chat.services.answers.is_pruned", lambda *, message: True)
    socket.say({"type": "resume", "message_id": frames[0]["message_id"], "since": 0})
    again = await answer_frames(socket)
    assert [frame["type"] for frame in again] == ["response_start", "text-delta", "response_end"]
    assert again[-1].items() >= {"full_response": WHOLE, "seq": frames[-1]["seq"]}.items()
    await socket.leave()


@pytest.mark.parametrize("since", [True, -1, "x", 1.5, None, [], {}])
async def test_a_cursor_that_is_none_is_refused(alice, worker, since):
    socket = await connect(alice)
    message = await in_thread(ask, caller=alice, question=Question("hello"))
    error = await socket.answer({"type": "resume", "message_id": str(message.pk), "since": since})
    assert error.items() >= {"type": "error", "code": "invalid_request"}.items()
    await socket.leave()


async def test_nobody_resumes_what_is_not_his(alice, bob, runner):
    socket = await connect(bob)
    message = await in_thread(ask, caller=alice, question=Question("hello"))
    assert (await socket.answer({"type": "resume", "message_id": str(message.pk)}))["code"] == "not_found"
    await socket.leave()


async def test_the_cursor_of_a_socket_is_that_of_every_transport(alice, worker):
    socket = await connect(alice)
    socket.say(chat(*TEXT))
    frames = await answer_frames(socket)
    found = await standing(caller=alice, message_id=(await in_thread(Run.objects.get)).pk, since=EventId(frames[1]["seq"], 0))
    assert [event.data["text"] for event in found.told if event.type == "text.delta"] == [frames[1]["text"]]
    await socket.leave()


async def test_a_question_sent_again_after_a_reconnect_is_asked_once(alice, worker):
    asked = chat(*TEXT, id="question-1")
    socket = await connect(alice)
    socket.say(asked)
    first = await next_of(socket, "response_start")
    await socket.leave()
    socket = await connect(alice)
    socket.say(asked | {"timestamp": "later"})
    frames = await answer_frames(socket)
    assert frames[0] == first
    assert text(frames) == WHOLE
    assert await in_thread(Run.objects.count) == 1
    error = await socket.answer(chat({"text": "other"}, id="question-1"))
    assert error["code"] == "conflict"
    assert await in_thread(IdempotencyKey.objects.count) == 1
    await socket.leave()


async def test_a_ref_used_again_is_the_same_question_only_with_the_same_words(alice, worker):
    said = []
    for content, ref in (("one", 1), ("two", 1), ("two", 1), ("two", {"any": "value" * 100})):
        socket = await connect(alice)
        socket.say({"type": "chat", "content": content, "ref": ref})
        said.append((await answer_frames(socket))[0])
        await socket.leave()
    assert [frame["ref"] for frame in said[:3]] == [1, 1, 1]
    assert said[1] == said[2]
    assert len({frame["message_id"] for frame in said}) == 3


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        ({"type": "chat"}, "content"),
        ({"type": "chat", "content": "   "}, "empty"),
        ({"type": "chat", "content": 5.5, "temperature": 9}, "temperature"),
        ({"type": "chat", "content": ["x"]}, "content"),
        ({"type": "chat", "content": "x", "chat_id": "x" * 300}, "chat_id"),
        ({"type": "chat", "content": "x", "application_id": "nowhere"}, "application"),
        ({"type": "chat", "content": "x", "temperature": "NaN"}, "temperature"),
        ({"type": "message"}, "content"),
        ({"type": "resume"}, "message_id"),
        ({"type": "cancel", "message_id": 3}, "message_id"),
        ({"type": "dance"}, "dance"),
        ({}, "type"),
        ("{", "JSON"),
        ("[]", "object"),
    ],
)
async def test_a_frame_that_is_wrong_is_told_so_and_the_socket_stays(alice, stores, frame, word):
    socket = await connect(alice)
    error = await socket.answer(frame)
    assert error["type"] == "error"
    assert word in error["message"]
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await socket.leave()


async def test_the_others_see_question_and_answer(alice, carol, worker):
    await share(alice, carol)
    hers, other = await connect(alice), await connect(carol)
    assert other.frames[0]["participants"] == ["user_alice", "user_carol"]
    hers.say(chat(*TEXT))
    seen = await answer_frames(other)
    assert seen[0].items() >= {"type": "chat", "content": chat(*TEXT)["content"], "user_id": "user_alice"}.items()
    own = await answer_frames(hers)
    assert text(own) == text(seen) == WHOLE
    assert (own[0], own[-1]) == (seen[1], seen[-1])
    assert seen[0]["message_id"] == own[0]["message_id"]
    # And the conversation is theirs as well.
    other.say(chat({"text": "mine too"}, chat_id=own[0]["chat_id"]))
    assert (await next_of(hers, "response_end"))["full_response"] == "mine too"
    await hers.leave()
    await other.leave()


async def test_what_is_asked_over_http_in_the_session_is_seen_too(alice, worker):
    socket = await connect(alice)
    socket.say(chat())
    begun = (await answer_frames(socket))[0]
    conversation = await in_thread(Conversation.objects.get, pk=begun["chat_id"])
    await in_thread(ask, caller=alice, question=Question(script(*TEXT), conversation_id=conversation.pk))
    assert text(await answer_frames(socket)) == WHOLE
    await socket.leave()


async def test_the_same_user_sees_it_on_his_other_device_once(alice, worker):
    here, there = await connect(alice), await connect(alice)
    here.say(chat(*TEXT, ref="r"))
    assert "ref" in (await answer_frames(here))[0]
    assert [frame["type"] for frame in await answer_frames(there)][:2] == ["chat", "response_start"]
    assert (await here.answer({"type": "ping"}))["type"] == "pong"
    assert here.types.count("response_start") == there.types.count("response_start") == 1
    await here.leave()
    await there.leave()


async def test_a_stranger_with_the_same_name_is_in_another_session(alice, bob, worker):
    hers, his = await connect(alice), await connect(bob)
    assert hers.frames[0]["session"] != his.frames[0]["session"]
    hers.say({"type": "typing"})
    hers.say(chat(*TEXT))
    await answer_frames(hers)
    his.say(chat({"text": "his own"}))
    assert (await answer_frames(his))[-1]["full_response"] == "his own"
    await hers.leave()
    assert (await his.answer({"type": "ping"}))["type"] == "pong"
    assert {"chat", "typing", "user_disconnected"}.isdisjoint(his.types)
    await his.leave()


async def test_typing_is_told_to_other_users_and_ends_by_itself(alice, carol, stores, settings):
    settings.CHAT_TYPING_SECONDS = 0.3
    await share(alice, carol)
    hers, own_other, other = await connect(alice), await connect(alice), await connect(carol)
    hers.say({"type": "typing"})
    assert (await next_of(other, "typing")).items() >= {"user_id": "user_alice", "expires_in": 0.3}.items()
    assert (await next_of(other, "typing_stopped"))["user_id"] == "user_alice"
    for socket in (hers, own_other):
        assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    for socket in (hers, own_other, other):
        await socket.leave()


async def test_typing_ends_with_the_question_and_on_request(alice, carol, worker):
    await share(alice, carol)
    hers, other = await connect(alice), await connect(carol)
    for ended_by in ({"type": "typing_stopped"}, chat()):
        hers.say({"type": "typing"})
        await next_of(other, "typing")
        hers.say(ended_by)
        await next_of(other, "typing_stopped")
    await hers.leave()
    await other.leave()


async def test_a_user_leaves_with_the_last_of_his_connections(alice, carol, stores):
    await share(alice, carol)
    hers, second, other = await connect(alice), await connect(alice), await connect(carol)
    hers.say({"type": "typing"})
    await next_of(other, "typing")
    await hers.leave()
    await next_of(other, "typing_stopped")
    assert (await other.answer({"type": "ping"}))["type"] == "pong"
    await second.leave()
    assert (await other.next())["type"] == "user_disconnected"
    assert other.frames[-1]["user_id"] == "user_alice"
    await other.leave()


async def test_a_running_answer_is_told_to_a_new_connection_from_its_beginning(alice, worker):
    socket = await connect(alice)
    socket.say(chat({"text": "one "}, {"pause": 0.6}, {"text": "two"}))
    await next_of(socket, "text-delta")
    await socket.leave()
    socket = await connect(alice)
    frames = await answer_frames(socket)
    assert [frame["type"] for frame in frames][:3] == ["chat", "response_start", "text-delta"]
    assert text(frames) == "one two"
    await socket.leave()


async def test_a_running_answer_that_is_resumed_is_not_told_from_its_beginning(alice, worker):
    socket = await connect(alice)
    socket.say(chat({"text": "one "}, {"pause": 0.6}, {"text": "two"}))
    since = (await next_of(socket, "text-delta"))["seq"]
    message_id = socket.frames[-1]["message_id"]
    await socket.leave()
    socket = await connect(alice)
    socket.say({"type": "resume", "message_id": message_id, "since": since})
    frames = await answer_frames(socket)
    assert text(frames) == "two"
    assert frames[-1]["full_response"] == "one two"
    await socket.leave()


async def test_an_answer_whose_doorbell_was_lost_with_the_broker_is_found(alice, carol, worker, redis_url):
    import redis

    await share(alice, carol)
    other = await connect(carol)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("tl:{user:user_carol}")
    message = await in_thread(
        ask,
        caller=alice,
        question=Question(script(*TEXT), session=await in_thread(sessions.resolve, caller=alice, name="session-abc")),
    )
    frames = await answer_frames(other)
    assert (frames[0]["message_id"], text(frames)) == (str(message.pk), WHOLE)
    await other.leave()


async def test_who_is_removed_is_closed_and_sees_no_more(alice, carol, worker):
    await share(alice, carol)
    hers, other = await connect(alice), await connect(carol)
    hers.say(chat(*TEXT))
    await answer_frames(other)
    await in_thread(sessions.remove_participant, caller=alice, name="session-abc", user_id="user_carol")
    assert await other.over() == (1008, "Forbidden")
    assert not await in_thread(Participant.objects.filter(user_id=carol.pk).exists)
    # The name is one of her own again.
    again = await connect(carol)
    assert again.frames[0]["session"] != hers.frames[0]["session"]
    await hers.leave()
    await again.leave()


@pytest.mark.parametrize("options", [{"query": {"dialect": "streaming"}}, {"subprotocols": ["unknown", "streaming"]}])
async def test_the_other_vocabulary(alice, worker, options):
    socket = await connect(alice, **options)
    socket.say({"type": "message", "content": script({"text": "Hello"}), "id": 3})
    frames = await answer_frames(socket)
    assert [frame["type"] for frame in frames] == ["message_start", "text_chunk", "done"]
    assert frames[0]["conversation_id"]
    assert frames[1]["content"] == "Hello"
    assert socket.subprotocol == ("streaming" if "subprotocols" in options else None)
    await socket.leave()


async def test_an_unknown_dialect_is_refused(alice):
    query = {"dialect": "klingon", "token": await in_thread(_token, alice)}
    socket = Socket(ChatConsumer, "/ws/chat/x", query=query, path_args={"session_id": "x"})
    code, reason = await socket.over()
    assert code == 4400
    assert "nadoo" in reason


async def test_a_name_that_nobody_asked_under_leaves_nothing_behind(alice, stores):
    socket = await connect(alice)
    await socket.leave()
    assert not await in_thread(ChatSession.objects.exists)


async def test_nothing_is_left_of_a_socket_that_went_away_in_the_middle(alice, runner):
    before = {task.get_name() for task in asyncio.all_tasks()}
    socket = await connect(alice)
    socket.say({"type": "typing"})
    socket.say(chat({"text": "x"}, {"hang": True}))
    await next_of(socket, "response_start")
    await socket.leave()
    left = {task.get_name() for task in asyncio.all_tasks() if "socket" in task.get_name()}
    assert left <= before
    from events.presence import current_presence

    assert await current_presence().here(f"chat:{socket.frames[0]['session']}") == []


async def test_the_question_is_kept_with_its_author(alice, worker):
    socket = await connect(alice)
    socket.say(chat(*TEXT))
    await answer_frames(socket)
    question = await in_thread(Message.objects.select_related("author", "conversation__session").get, role="user")
    assert question.author.public_id == "user_alice"
    assert question.conversation.session.name == "session-abc"
    assert json.loads(question.text.removeprefix("!script "))
    await socket.leave()


async def test_a_page_that_reads_streams_is_told_no_answers_unasked(alice, worker):
    page, other = await connect(alice, query={"answers": "no"}), await connect(alice)
    other.say(chat(*TEXT))
    message_id = (await answer_frames(other))[0]["message_id"]
    assert (await page.answer({"type": "ping"}))["type"] == "pong"
    page.say({"type": "resume", "message_id": message_id})
    assert text(await answer_frames(page)) == WHOLE
    await page.leave()
    await other.leave()


async def test_typing_says_where_and_who(alice, carol, stores):
    await share(alice, carol)
    hers, other = await connect(alice), await connect(carol)
    hers.say({"type": "typing", "chat_id": "c"})
    assert (await next_of(other, "typing")).items() >= {"chat_id": "c", "username": "alice"}.items()
    assert (await hers.answer({"type": "typing", "chat_id": 5}))["code"] == "invalid_request"
    await hers.leave()
    await other.leave()
