import asyncio
import json
import os
import time
from contextlib import aclosing

import pytest

from chat.engines.base import EngineError, EngineRequest, Finish, ReasoningDelta, Sources, TextDelta, ToolCall, ToolRound, Usage
from chat.engines.scripted import ScriptedEngine
from tests.chat.engines.answers import failure_of, parts_of, text_of
from tests.patience import patiently


async def play(*steps: dict):
    return await parts_of(ScriptedEngine(), options={"script": list(steps)})


async def test_without_a_script_the_question_comes_back() -> None:
    assert await parts_of(ScriptedEngine(), "one  two\nthree") == [
        TextDelta("one"),
        TextDelta(" two"),
        TextDelta(" three"),
        Finish("stop"),
    ]


async def test_a_question_may_hold_the_script() -> None:
    question = "!script " + json.dumps([{"text": "hi"}, {"finish": "length"}])
    assert await parts_of(ScriptedEngine(), question) == [TextDelta("hi"), Finish("length")]


async def test_an_option_goes_before_the_question() -> None:
    assert text_of(await parts_of(ScriptedEngine(), '!script [{"text": "no"}]', options={"script": [{"text": "yes"}]})) == "yes"


async def test_each_step_gives_its_part() -> None:
    assert await play(
        {"sources": [{"title": "t", "text": "x"}]},
        {"reasoning": "hm"},
        {"text": "hello"},
        {"tool_call": {"name": "look", "arguments": {"at": "sky"}}},
        {"usage": {"input_tokens": 1, "output_tokens": 2}},
        {"finish": "tool_calls"},
    ) == [
        Sources(({"title": "t", "text": "x"},)),
        ReasoningDelta("hm"),
        TextDelta("hello"),
        ToolCall("call_1", "look", {"at": "sky"}),
        Usage(1, 2),
        Finish("tool_calls"),
    ]


async def test_what_follows_results_is_played_when_the_tools_have_answered() -> None:
    call = {"tool_call": {"name": "look"}}
    script = [{"text": "a"}, call, {"results": True}, {"result": 1}, {"result": 2}, call, {"results": True}, {"text": "b"}]
    rounds = (ToolRound("a", (ToolCall("1", "look", {}), ToolCall("2", "look", {})), ("sky", "sea")),)
    asked = ToolCall("call_1", "look", {})
    options = {"script": script}
    assert await parts_of(ScriptedEngine(), options=options) == [TextDelta("a"), asked, Finish("tool_calls")]
    second = await parts_of(ScriptedEngine(), options=options, rounds=rounds)
    assert second == [TextDelta("sky"), TextDelta("sea"), asked, Finish("tool_calls")]
    assert await parts_of(ScriptedEngine(), options=options, rounds=rounds * 2) == [TextDelta("b"), Finish("stop")]
    assert await parts_of(ScriptedEngine(), options=options, rounds=rounds * 3) == [Finish("stop")]


async def test_text_is_cleaned_like_a_providers() -> None:
    parts = await play({"text": "a\ud83d"}, {"text": "\ude00\x00"}, {"text": "\ud83d"}, {"finish": "stop"})
    assert text_of(parts) == "a\U0001f600\ufffd\ufffd"


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 100_001])
async def test_a_size_is_exact_in_bytes(size: int) -> None:
    assert len(text_of(await play({"size": size})).encode()) == size


async def test_tokens_without_a_rate_come_at_once() -> None:
    assert text_of(await play({"tokens": 1000})) == "".join(f"w{n} " for n in range(1000))


async def test_tokens_keep_their_rate() -> None:
    began = time.monotonic()
    assert len(await play({"tokens": 26, "per_second": 50})) == 27
    assert 0.5 <= time.monotonic() - began < 0.5 + patiently(0.2)


async def test_a_pause_pauses() -> None:
    began = time.monotonic()
    await play({"pause": 0.2})
    assert time.monotonic() - began >= 0.2


async def test_a_failure_has_its_code_message_and_retryable_after_the_text() -> None:
    script = [{"text": "so far"}, {"fail": {"code": "broken", "message": "It broke.", "retryable": True}}]
    parts, error = await failure_of(ScriptedEngine(), options={"script": script})
    assert text_of(parts) == "so far"
    assert (error.code, error.message, error.retryable) == ("broken", "It broke.", True)


async def test_a_crash_is_an_error_no_engine_should_raise() -> None:
    with pytest.raises(RuntimeError) as caught:
        await play({"crash": True})
    assert not isinstance(caught.value, EngineError)


async def test_a_hang_goes_on_until_it_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await play({"hang": True})


async def test_no_finish_ends_without_one() -> None:
    assert await play({"text": "x"}, {"no_finish": True}) == [TextDelta("x")]


@pytest.mark.parametrize(
    ("script", "where", "why"),
    [
        ("{", "not JSON", ""),
        ("[" * 50_000, "not JSON", ""),
        ({"text": "x"}, "must be a list", ""),
        ([{"text": "x"}] * 10_001, "at most 10000", ""),
        ([{"text": "x"}, "y"], "Step 2", "object"),
        ([{}], "Step 1", "exactly one"),
        ([{"txt": "x"}], "Step 1", "exactly one"),
        ([{"text": "x", "size": 3}], "Step 1", "exactly one"),
        ([{"text": 5}], "Step 1", "'text' must be a string"),
        ([{"text": "x", "per_second": 3}], "Step 1", "per_second"),
        ([{"pause": -1}], "Step 1", "seconds"),
        ([{"pause": True}], "Step 1", "seconds"),
        ([{"pause": float("inf")}], "Step 1", "seconds"),
        ([{"pause": float("nan")}], "Step 1", "seconds"),
        ([{"tokens": 1.5}], "Step 1", "whole number"),
        ([{"tokens": 5, "per_second": "fast"}], "Step 1", "per_second"),
        ([{"size": 10**12}], "Step 1", "whole number"),
        ([{"sources": [1]}], "Step 1", "list of objects"),
        ([{"tool_call": {"name": "x", "arguments": "{}"}}], "Step 1", "arguments"),
        ([{"usage": {"input_tokens": 1}}], "Step 1", "output_tokens"),
        ([{"fail": {"retryable": "yes"}}], "Step 1", "true or false"),
        ([{"hang": False}], "Step 1", "true"),
        ([{"finish": "stop"}, {"text": "x"}], "Step 1", "nothing may follow"),
    ],
)
async def test_a_bad_script_says_which_step_and_why_before_any_part(script: object, where: str, why: str) -> None:
    question = "!script " + (script if isinstance(script, str) else json.dumps(script))
    parts, error = await failure_of(ScriptedEngine(), question)
    assert parts == []
    assert (error.code, error.retryable) == ("bad_script", False)
    assert where in error.message
    assert why in error.message


async def test_three_hundred_answers_keep_fifty_tokens_a_second_cheaply() -> None:
    engine = ScriptedEngine()
    request = EngineRequest("x", options={"script": [{"tokens": 100, "per_second": 50}]})

    async def last_delay() -> float:
        began = time.monotonic()
        async with aclosing(engine.stream(request)) as parts:
            count = len([part async for part in parts])
        assert count == 101
        return time.monotonic() - began

    before = os.times()
    took = await asyncio.gather(*(last_delay() for _ in range(300)))
    after = os.times()
    # 99 gaps of 20 ms; on a machine that is busy with other things.
    assert 1.98 <= min(took) <= max(took) < patiently(3)
    assert after.user + after.system - before.user - before.system < 1.5


async def test_an_endless_burst_lets_others_run() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beat())
    await play({"size": 1_000_000})
    task.cancel()
    assert beats > 10
