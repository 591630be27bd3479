import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.threads import in_thread
from chat.engines.base import Finish, ReasoningDelta, Sources, TextDelta, ToolCall
from chat.models import Message, Run
from chat.services import answers, runs
from chat.services.questions import message_stream
from events import journal
from events.broker.base import Appended
from events.broker.connect import connect
from events.event import START, EventId
from events.exceptions import NotFound, Unavailable
from events.models import DurableStream
from events.retention import prune_journal
from tests.chat.conftest import answered, ask, asked, ended, journaled, texts, types, until
from tests.chat.raw_engine import ALIAS, RawEngine

pytestmark = pytest.mark.usefixtures("stores")


async def tail(caller, message, after=0):
    return await in_thread(answers.tail, caller=caller, message_id=message.pk, cursor=EventId(after, 0))


async def test_the_tail_tells_a_running_answer_so_far(runner, alice, bob, settings, monkeypatch):
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": ALIAS}
    gate = asyncio.Event()
    parts = [
        ReasoningDelta("hm"),
        Sources(({"title": "T", "text": "t"},)),
        TextDelta("one"),
        gate,
        TextDelta(" two"),
        Finish("stop"),
    ]
    monkeypatch.setattr(RawEngine, "parts", parts)
    message = await in_thread(ask, alice)
    assert (await tail(alice, message))["status"] == "queued"
    await runner.answer(message.pk)
    await until(lambda: texts(journaled(message)) == "one")
    found = await tail(alice, message)
    assert found["last_heartbeat_at"] is not None
    assert found | {"last_heartbeat_at": None} == {
        "message_id": str(message.pk),
        "status": "running",
        "response": "one",
        "thought": "hm",
        "sources": [{"title": "T", "text": "t"}],
        "tool_calls": [],
        "last_event_id": str(len(await in_thread(journaled, message))),
        "last_heartbeat_at": None,
        "error": None,
    }
    with pytest.raises(NotFound):
        await tail(bob, message)
    gate.set()
    await ended(message)
    assert (await tail(alice, message))["response"] == "one two"


@pytest.fixture
def slow_journal(settings):
    """To be named before `runner`, whose first pause begins with it."""
    settings.JOURNAL_FLUSH_MS = 60_000


async def test_the_tail_includes_what_only_the_broker_has_yet(slow_journal, runner, alice):
    message = await asked(alice, {"text": "so far"}, {"hang": True})
    await runner.answer(message.pk)
    await until(lambda: texts(answers.read_all(message.pk)) == "so far")
    assert types(await in_thread(journal.read, message_stream(message.pk), START)) == ["run.started"]
    assert (await tail(alice, message))["response"] == "so far"
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    await ended(message)


async def test_who_polls_with_a_cursor_is_never_told_less_than_before(slow_journal, runner, alice, settings):
    message = await asked(alice, {"text": "so far"}, {"hang": True})
    await runner.answer(message.pk)
    await until(lambda: texts(answers.read_all(message.pk)) == "so far")
    head = int((await tail(alice, message))["last_event_id"])
    assert (await tail(alice, message, head))["response"] == "so far"
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    # The journal has only the beginning.
    assert (await tail(alice, message, 1))["last_event_id"] == "1"
    with pytest.raises(Unavailable, match=f"event {head} cannot be read just now"):
        await tail(alice, message, head)
    settings.REDIS_URL = url
    assert (await tail(alice, message, head))["response"] == "so far"
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    await ended(message)
    # It is over: more than this there will not be.
    assert (await tail(alice, message, head + 1000))["response"] == "so far"


async def test_all_is_told_of_an_answer_whose_end_the_broker_never_heard_of(runner, alice):
    message = await asked(alice, {"text": "whole"})
    await answered(runner, message)
    events = await in_thread(journal.read, message_stream(message.pk), START)
    assert len(events) > 3
    # It was full, or away for longer than the worker tries to tell it, and has the beginning only.
    broker = connect()
    try:
        assert await in_thread(broker.seed_now, message_stream(message.pk), 99, events[:2]) is Appended.OK
    finally:
        await broker.close()
    assert await in_thread(answers.read_all, message.pk) == events


async def test_the_tail_of_a_failure_has_text_and_error(runner, alice):
    message = await asked(alice, {"text": "so far"}, {"fail": {"code": "quota", "message": "Used up.", "retryable": True}})
    await answered(runner, message)
    found = await tail(alice, message)
    assert (found["status"], found["response"]) == ("failed", "so far")
    assert found["error"] == {"code": "quota", "message": "Used up.", "retryable": True}


async def test_a_queued_answer_is_stopped_at_once(alice, bob):
    message = await asked(alice)
    with pytest.raises(NotFound):
        await in_thread(answers.stop, caller=bob, message_id=message.pk)
    assert await in_thread(answers.stop, caller=alice, message_id=message.pk) == "cancelled"
    assert types(await in_thread(journaled, message)) == ["run.started", "run.cancelled"]
    assert await in_thread(answers.stop, caller=alice, message_id=message.pk) == "cancelled"


async def test_a_queued_answer_is_stopped_while_the_broker_is_away(alice, settings):
    message = await asked(alice)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert await in_thread(answers.stop, caller=alice, message_id=message.pk) == "cancelled"


def prune_all():
    DurableStream.objects.filter(ended_at__isnull=False).update(ended_at=timezone.now() - timedelta(days=100))
    prune_journal()


async def pruned(message):
    await in_thread(prune_all)
    return await in_thread(Message.objects.select_related("run").get, pk=message.pk)


@pytest.mark.parametrize(
    "last",
    [{"finish": "length"}, {"fail": {"code": "quota", "message": "Used up.", "retryable": True}}],
)
async def test_a_pruned_answer_is_told_from_its_row_as_it_was_journaled(runner, alice, last):
    message = await asked(alice, {"reasoning": "hm"}, {"sources": [{"title": "T", "text": "t"}]}, {"text": "all"}, last)
    _, before = await answered(runner, message)
    row = await pruned(message)
    assert await in_thread(answers.is_pruned, message=row)
    rebuilt = answers.rebuilt_events(row)

    def told(events):
        return [
            (str(event.type), {key: value for key, value in event.data.items() if key != "block"})
            for event in events
            if not event.type.endswith((".start", ".end"))
        ]

    assert told(rebuilt) == told(before)
    assert rebuilt[-1].id == before[-1].id
    assert (await tail(alice, message))["response"] == "all"


async def test_tool_calls_are_told_after_pruning_too(runner, alice, settings, monkeypatch):
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"scripted": ALIAS}
    monkeypatch.setattr(RawEngine, "parts", [ToolCall("c", "f", {"x": 1}), TextDelta("a"), Finish("length")])
    message = await in_thread(ask, alice)
    await answered(runner, message)
    rebuilt = answers.rebuilt_events(await pruned(message))
    assert [event.data for event in rebuilt if event.type == "tool.call"] == [
        {"call_id": "c", "name": "f", "arguments": {"x": 1}}
    ]


async def test_a_cancelled_answer_without_text_is_told_after_pruning(alice):
    message = await asked(alice)
    await in_thread(answers.stop, caller=alice, message_id=message.pk)
    rebuilt = answers.rebuilt_events(await pruned(message))
    assert types(rebuilt) == ["run.started", "run.cancelled"]


async def test_an_answer_in_the_journal_is_not_pruned(runner, alice):
    message = await asked(alice, {"text": "a"})
    await answered(runner, message)
    row = await in_thread(Message.objects.select_related("run").get, pk=message.pk)
    assert not await in_thread(answers.is_pruned, message=row)
    assert await in_thread(Run.objects.count) == 1
