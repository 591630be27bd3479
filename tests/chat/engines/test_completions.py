import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.engines.base import EngineError, EnginePart, Finish, ReasoningDelta, TextDelta, ToolCall, Usage
from chat.engines.completions import CompletionReader
from tests.chat.engines.answers import reasoning_of, text_of


def read(chunks: list[bytes], *, cut: bool = False) -> list[EnginePart]:
    reader = CompletionReader(limit=100_000)
    parts = [part for chunk in chunks for part in reader.feed(chunk)]
    return parts + list(reader.end(cut=cut))


def chunk(delta: dict | None = None, *, finish: str | None = None, **fields) -> bytes:
    payload = {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **fields}
    return f"data: {json.dumps(payload)}\n\n".encode()


def failure(chunks: list[bytes]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        read(chunks)
    return caught.value


DONE = b"data: [DONE]\n\n"
ANSWER = (
    b": keep-alive\n\n"
    + chunk({"role": "assistant", "content": None})
    + chunk({"reasoning_content": "hm\ud83d"})
    + chunk({"reasoning": "\ude00"})
    + chunk({"content": "a\ud83d"})
    + chunk({"content": "\ude00b\x00"})
    + 'data: {"choices":[{"delta":{"content":"\U0001f680\u2028"}}]}\r\n\r\n'.encode()
    + chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "second", "arguments": ""}}]})
    + chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "first", "arguments": '{"x": "\\ud8'}}]})
    + chunk({"tool_calls": [{"index": 0, "function": {"arguments": '3d\\ude00"}'}}]})
    + chunk(finish="tool_calls")
    + b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}\n\n'
    + DONE
)
TAIL = [
    ToolCall(call_id="c1", name="first", arguments={"x": "\U0001f600"}),
    ToolCall(call_id="c2", name="second", arguments={}),
    Usage(3, 5),
    Finish("tool_calls"),
]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ANSWER)]
    parts = read([ANSWER[a:b] for a, b in itertools.pairwise(edges)])
    assert text_of(parts) == "a\U0001f600b\ufffd\U0001f680\u2028"
    assert reasoning_of(parts) == "hm\U0001f600"
    assert parts[-4:] == TAIL


def test_an_answer_survives_a_cut_at_each_byte() -> None:
    whole = read([ANSWER])
    for cut in range(len(ANSWER)):
        assert read([ANSWER[:cut], ANSWER[cut:]]) == whole


def test_a_half_at_the_very_end_is_replaced_and_the_finish_comes_last() -> None:
    assert read([chunk({"content": "x\ud83d"}), chunk(finish="stop")]) == [TextDelta("x"), TextDelta("\ufffd"), Finish("stop")]


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
    ],
)
def test_reasons_are_told_in_four_words(said: str, means: str) -> None:
    assert read([chunk({"content": "x"}, finish=said)])[-1] == Finish(means)


@pytest.mark.parametrize("tail", [b"", DONE, b'data: {"choices": [{"delta": {"content'])
def test_an_end_without_a_reason_is_incomplete_after_all_text(tail: bytes) -> None:
    reader = CompletionReader(limit=1000)
    parts = list(reader.feed(chunk({"content": "Hello"}) + tail))
    assert parts == [TextDelta("Hello")]
    with pytest.raises(EngineError) as caught:
        list(reader.end())
    assert (caught.value.code, caught.value.retryable) == ("provider_incomplete", True)


def test_the_text_before_a_fault_in_the_same_chunk_is_given() -> None:
    reader = CompletionReader(limit=1000)
    parts = reader.feed(chunk({"content": "Hello"}) + b"data: {broken\n\n")
    assert next(parts) == TextDelta("Hello")
    with pytest.raises(EngineError) as caught:
        next(parts)
    assert caught.value.code == "provider_garbage"


@pytest.mark.parametrize(
    "body",
    [
        b"hello\n",
        b"<html>\n",
        b"data: [1]\n\n",
        b"data: nonsense\n\n",
        b"data: " + b"[" * 50_000 + b"\n\n",
        b"{nonsense",
        b'{"object": "list"}',
        b"event: x\n\n",
        b"{" + b"x" * 200_000,
        b"data: " + b"x" * 200_000,
    ],
)
def test_what_is_no_completion_is_garbage(body: bytes) -> None:
    error = failure([body])
    assert error.code == "provider_garbage"
    assert len(error.message) < 300


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"choices": None},
        {"choices": "x"},
        {"choices": [None]},
        {"choices": [{"delta": []}]},
        {"choices": [{"delta": {"content": 5, "reasoning": [], "tool_calls": "x"}}]},
        {"choices": [{"delta": {"tool_calls": [None, 3]}}]},
        {"choices": [], "usage": {"prompt_tokens": "many"}},
    ],
)
def test_odd_chunks_are_passed_over(payload: dict) -> None:
    odd = f"data: {json.dumps(payload)}\n\n".encode()
    assert read([odd, chunk({"content": "x"}), odd, chunk(finish="stop"), odd]) == [TextDelta("x"), Finish("stop")]


def test_content_in_typed_parts_is_read() -> None:
    delta = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]}
    assert read([chunk(delta, finish="stop")]) == [ReasoningDelta("hm"), TextDelta("yes"), Finish("stop")]


def test_a_whole_json_document_is_one_text() -> None:
    body = json.dumps(
        {
            "choices": [{"message": {"content": "Hello\ud83d\ude00", "reasoning": "hm"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
    ).encode()
    expected = [ReasoningDelta("hm"), TextDelta("Hello\U0001f600"), Usage(1, 2), Finish("stop")]
    assert read([body]) == expected
    assert read([b" \n"] + [body[i : i + 1] for i in range(len(body))]) == expected


@pytest.mark.parametrize("arguments", ["{", "[1]", '"text"', "nope", "[" * 50_000])
def test_arguments_that_are_no_object_are_a_call_with_a_fault(arguments: str) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": arguments}}
    (told, finish) = read([chunk({"tool_calls": [call]}), chunk(finish="tool_calls")])
    assert (told.call_id, told.name, told.arguments, finish) == ("c", "look", {}, Finish("tool_calls"))
    assert told.fault


def test_a_call_without_a_name_is_a_bad_tool_call() -> None:
    error = failure([chunk({"tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}), chunk(finish="tool_calls")])
    assert (error.code, error.retryable) == ("provider_bad_tool_call", True)


def test_a_tool_call_without_index_or_id_is_still_one() -> None:
    call = {"function": {"name": "look", "arguments": {"at": "sky"}}}
    parts = read([chunk({"tool_calls": [call]}), chunk(finish="tool_calls")])
    assert parts == [ToolCall(call_id="call_0", name="look", arguments={"at": "sky"}), Finish("tool_calls")]


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ({"message": "overloaded"}, "provider_error", True),
        ("overloaded", "provider_error", True),
        ({"message": "slow down", "code": 429}, "provider_rate_limited", True),
        ({"message": "no", "code": 400}, "provider_rejected", False),
    ],
)
def test_an_error_inside_the_stream_is_told(error: object, code: str, retryable: bool) -> None:
    told = failure([chunk({"content": "x"}), f"data: {json.dumps({'error': error})}\n\n".encode()])
    assert (told.code, told.retryable) == (code, retryable)


def test_an_event_named_error_is_an_error() -> None:
    told = failure([b'event: error\ndata: {"message": "out of memory"}\n\n'])
    assert told.code == "provider_error"
    assert "out of memory" in told.message


def test_a_reason_that_means_failure_is_one() -> None:
    assert failure([chunk({"content": "x"}, finish="error")]).code == "provider_error"
