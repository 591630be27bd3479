"""From an engine's parts to the canonical events of a run, with a real runner and real stores."""

import asyncio

import pytest

from accounts.threads import in_thread
from chat.engines.base import Finish, ReasoningDelta, Sources, TextDelta, ToolCall, Usage
from chat.models import Run
from chat.services import runs
from chat.services.questions import message_stream
from events import journal
from events.event import START
from tests.chat.conftest import answered, ask, asked, ended, journaled, run_of, texts, types, until
from tests.chat.raw_engine import ALIAS, FAILURE, RawEngine
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def raw(settings, monkeypatch):
    """Sets the parts of the next answers."""
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"raw": ALIAS}
    settings.CHAT_ENGINE = "raw"
    monkeypatch.setattr(RawEngine, "requests", [])

    def give(*parts, problem=None):
        monkeypatch.setattr(RawEngine, "parts", parts)
        monkeypatch.setattr(RawEngine, "problem", problem)

    return give


def is_closed_before_the_end(events):
    """Each block is started, ended and not open at the terminal event; numbers count up."""
    opened, blocks = None, 0
    for event in events:
        family, _, part = event.type.partition(".")
        if part == "start":
            assert opened is None
            blocks += 1
            assert event.data["block"] == blocks
            opened = family
        elif part in ("delta", "end"):
            assert (opened, event.data["block"]) == (family, blocks)
            opened = None if part == "end" else opened
        elif family == "run" and part != "started":
            assert opened is None
            assert event is events[-1]
    return True


async def test_parts_become_events_in_order_and_blocks_are_closed(runner, alice):
    message = await asked(
        alice,
        {"reasoning": "hm"},
        {"sources": [{"title": "T", "text": "t"}]},
        {"text": "a"},
        {"text": "b"},
        {"tool_call": {"name": "f", "arguments": {"x": 1}, "call_id": "c1"}},
        {"text": "c"},
        {"usage": {"input_tokens": 3, "output_tokens": 4}},
        {"finish": "length"},
    )
    run, events = await answered(runner, message)
    assert types(events) == [
        *("run.started", "reasoning.start", "reasoning.delta", "reasoning.end", "sources"),
        *("text.start", "text.delta", "text.end", "tool.call", "text.start", "text.delta", "text.end"),
        *("usage", "run.completed"),
    ]
    assert is_closed_before_the_end(events)
    assert texts(events) == "abc"
    assert (run.status, run.finish_reason, run.head) == ("completed", "length", events[-1].id.major)
    assert run.usage == {"input_tokens": 3, "output_tokens": 4}
    assert (run.message.text, run.message.thought) == ("abc", "hm")
    assert run.message.sources == [{"title": "T", "text": "t"}]
    assert run.message.tool_calls == [{"call_id": "c1", "name": "f", "arguments": {"x": 1}}]
    assert events[-1].data == {"conversation_id": str(message.conversation_id), "finish_reason": "length"}


async def test_ids_are_dense_and_the_broker_holds_the_same_events(runner, alice, broker):
    message = await asked(alice, {"tokens": 300})
    await answered(runner, message)
    stream = message_stream(message.pk)
    cold = await in_thread(journal.read, stream, START)
    assert [event.id.major for event in cold] == list(range(1, len(cold) + 1))

    async with asyncio.timeout(patiently(5)):
        while (await broker.heads([stream]))[0] != cold[-1].id:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await broker.read([(stream, START)], limit=1000))[0].events == cold


@pytest.mark.parametrize(
    ("last", "status", "code", "retryable"),
    [
        ({"fail": {"code": "rate_limited", "message": "Later.", "retryable": True}}, "failed", "rate_limited", True),
        ({"fail": {"code": "refused", "message": "No.", "retryable": False}}, "failed", "refused", False),
        ({"crash": True}, "failed", "engine_failed", True),
        ({"no_finish": True}, "failed", "engine_incomplete", True),
    ],
)
async def test_a_failure_keeps_the_text_and_closes_the_block(runner, alice, last, status, code, retryable):
    message = await asked(alice, {"reasoning": "hm"}, {"text": "so far"}, last)
    run, events = await answered(runner, message)
    assert (run.status, run.error_code, run.retryable) == (status, code, retryable)
    assert (run.message.text, run.message.thought) == ("so far", "hm")
    assert types(events)[-3:] == ["text.delta", "text.end", "run.failed"]
    assert is_closed_before_the_end(events)
    assert events[-1].data["code"] == code
    assert events[-1].data["message"] == run.error != ""
    assert "crashes" not in run.error


async def test_a_run_that_takes_too_long_ends_with_its_text(runner, alice, settings):
    settings.RUN_MAX_SECONDS = 0.3
    run, events = await answered(runner, await asked(alice, {"text": "so far"}, {"hang": True}))
    assert (run.error_code, run.retryable, run.message.text) == ("run_timeout", True, "so far")
    assert is_closed_before_the_end(events)


async def test_an_answer_that_is_too_long_ends_with_what_was_allowed(runner, alice, settings):
    settings.CHAT_ANSWER_MAX_CHARS = 10
    run, events = await answered(runner, await asked(alice, {"text": "12345"}, {"reasoning": "67890"}, {"text": "x"}))
    assert (run.status, run.error_code, run.retryable) == ("failed", "answer_too_long", False)
    assert (run.message.text, run.message.thought) == ("12345", "67890")
    assert is_closed_before_the_end(events)


async def test_nul_and_lone_surrogates_become_a_replacement_and_halves_are_joined(runner, alice, raw):
    raw(
        TextDelta("a\x00b\ud83d"),
        TextDelta("\ude00c\ud83d"),
        ReasoningDelta("\ud800"),
        Sources(({"title": "\udfff\x00", "text": "t"},)),
        ToolCall("c\x00", "f\ud800", {"k\x00": ["\udc00"]}),
        TextDelta("end\ud83d"),
        Finish("length"),
    )
    run, events = await answered(runner, await in_thread(ask, alice))
    assert run.status == "completed"
    assert run.message.text == "a\ufffdb\U0001f600c\ufffdend\ufffd"
    assert run.message.thought == "\ufffd"
    assert run.message.sources == [{"title": "\ufffd\ufffd", "text": "t"}]
    assert run.message.tool_calls == [{"call_id": "c\ufffd", "name": "f\ufffd", "arguments": {"k\ufffd": ["\ufffd"]}}]
    assert texts(events) == run.message.text
    assert is_closed_before_the_end(events)


async def test_numbers_that_json_does_not_know_do_not_stop_the_worker(runner, alice, raw):
    raw(ToolCall("c", "f", {"a": float("nan"), "b": [float("inf")], "c": 1.5}), TextDelta("after"), Finish("length"))
    run, _ = await answered(runner, await in_thread(ask, alice))
    assert (run.status, run.message.text) == ("completed", "after")
    assert run.message.tool_calls[0]["arguments"] == {"a": None, "b": [None], "c": 1.5}


async def test_empty_texts_leave_no_block_open(runner, alice, raw):
    raw(TextDelta(""), ReasoningDelta(""), Usage(1, 0), Finish("stop"))
    run, events = await answered(runner, await in_thread(ask, alice))
    assert run.message.text == ""
    assert is_closed_before_the_end(events)


async def test_an_engine_that_cannot_answer_here_says_why(runner, alice, raw):
    raw(problem="Install the weights first.")
    run, _ = await answered(runner, await in_thread(ask, alice))
    assert (run.status, run.error, run.message.text) == ("failed", "Install the weights first.", "")


async def test_an_engine_that_is_cancelled_from_within_is_a_failure_of_the_run(runner, alice, raw):
    """By a library that cancels what it waits for, not by a stop: the run must not stay open while its worker lives."""
    raw(TextDelta("a"), asyncio.CancelledError())
    run, _ = await answered(runner, await in_thread(ask, alice))
    assert (run.status, run.error_code, run.message.text) == ("failed", "engine_failed", "a")


async def test_no_engine_and_an_unknown_engine_are_failures_of_the_run(runner, alice, settings):
    settings.CHAT_ENGINE = "none"
    run, _ = await answered(runner, await in_thread(ask, alice))
    assert (run.status, run.error_code) == ("failed", "engine_not_configured")
    settings.CHAT_ENGINE = "nowhere"
    run, _ = await answered(runner, await in_thread(ask, alice))
    assert (run.status, run.error_code) == ("failed", "engine_failed")


async def test_a_stop_closes_the_engine_within_a_second_and_keeps_the_text(runner, alice, raw):
    raw(TextDelta("so far"), asyncio.Event(), Finish("stop"))
    message = await in_thread(ask, alice)
    await runner.answer(message.pk)
    await until(lambda: texts(journaled(message)) == "so far")
    assert RawEngine.streaming == 1
    await in_thread(runs.request_stop, caller=alice, message_id=message.pk)
    async with asyncio.timeout(patiently(1)):
        while RawEngine.streaming:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    run = await ended(message)
    events = await in_thread(journaled, message)
    assert (run.status, run.error_code, run.message.text) == ("cancelled", "", "so far")
    assert types(events)[-2:] == ["text.end", "run.cancelled"]


async def test_a_failure_closes_the_engine_too(runner, alice, raw):
    raw(TextDelta("a"), FAILURE)
    await answered(runner, await in_thread(ask, alice))
    assert RawEngine.streaming == 0


async def test_the_engine_sees_the_conversation_but_not_more_than_allowed(runner, alice, raw, settings):
    settings.CHAT_HISTORY_MESSAGES = 2
    raw(TextDelta("first answer"), Finish("stop"))
    first = await in_thread(ask, alice, "first question", attachments=[{"name": "n", "text": "t"}])
    await answered(runner, first)
    conversation = first.conversation_id
    await answered(runner, await in_thread(ask, alice, "second question", conversation_id=conversation))
    request = RawEngine.requests[-1]
    assert request.question == "second question"
    assert [(turn.role, turn.text) for turn in request.history] == [("user", "first question"), ("assistant", "first answer")]
    assert request.attachments == (("n", "t"),)
    await answered(runner, await in_thread(ask, alice, "third", conversation_id=conversation, options={"seed": 7}))
    request = RawEngine.requests[-1]
    assert [turn.text for turn in request.history] == ["second question", "first answer"]
    assert request.options == {"seed": 7}


async def test_there_is_exactly_one_terminal_event_whatever_races(runner, alice):
    """A stop in the moment in which the engine ends by itself."""
    messages = [await asked(alice, {"text": "x"}) for _ in range(10)]
    for message in messages:
        await runner.answer(message.pk)
    await asyncio.gather(
        *(in_thread(runs.request_stop, caller=alice, message_id=message.pk) for message in messages), return_exceptions=True
    )
    for message in messages:
        run = await ended(message)
        events = await in_thread(journaled, message)
        assert [each for each in types(events) if each.startswith("run.")] == ["run.started", f"run.{run.status}"]
        assert run.status in (Run.Status.COMPLETED, Run.Status.CANCELLED)
        assert (await in_thread(run_of, message)).head == events[-1].id.major
