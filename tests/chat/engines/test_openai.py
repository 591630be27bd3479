import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat.engines.base import EngineRequest, Finish, ReasoningDelta, TextDelta, ToolCall, Turn, Usage
from chat.engines.openai import OpenAIEngine
from tests.chat.engines.answers import failure_of, first_text_then_cancel, parts_of, reasoning_of, text_of
from tests.patience import patiently
from tests.providers import DONE, StubProvider, provider_in_thread

SECRET = "sk-very-secret-0123456789"
SMILE = "\U0001f600"


@pytest.fixture
async def provider() -> AsyncIterator[StubProvider]:
    async with StubProvider() as stub:
        yield stub


@pytest.fixture
async def ask(provider: StubProvider) -> AsyncIterator:
    """Makes engines of the provider, closed at the end."""
    made = []

    def engine(model: str = "stub", **options) -> OpenAIEngine:
        made.append(OpenAIEngine(**{"base_url": provider.base_url, "api_key": SECRET, "model": model} | options))
        return made[-1]

    yield engine
    for each in made:
        await each.close()


async def test_an_answer_comes_with_usage_and_one_finish(ask) -> None:
    parts = await parts_of(ask(), "one two three")
    assert parts == [TextDelta("one"), TextDelta(" two"), TextDelta(" three"), Usage(3, 5), Finish("stop")]


async def test_the_request_is_a_streamed_chat_completion(ask, provider: StubProvider) -> None:
    await parts_of(
        ask(base_url=provider.base_url + "/"),
        "And now \ud83d?",
        system_prompt="Be brief.",
        history=(Turn("user", "Hi"), Turn("assistant", "Hello")),
        attachments=(("notes.txt", "The sky is blue."),),
    )
    [request] = provider.asked
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.body["stream"] is True
    assert request.body["stream_options"] == {"include_usage": True}
    assert [each["role"] for each in request.body["messages"]] == ["system", "user", "assistant", "user"]
    assert "[1] notes.txt\nThe sky is blue." in request.body["messages"][-1]["content"]
    assert request.body["messages"][-1]["content"].endswith("And now \ufffd?")


async def test_only_options_of_the_right_type_are_passed_on(ask, provider: StubProvider) -> None:
    await parts_of(ask(), options={"temperature": 0.5, "max_tokens": 7, "seed": 1, "top_p": 1, "api_key": "x", "stream": False})
    await parts_of(ask(), options={"temperature": "hot", "max_tokens": 7.5, "seed": True, "top_p": None})
    await parts_of(
        ask(max_tokens_field="max_completion_tokens", include_usage=False, body={"seed": 3, "model": "no"}),
        options={"max_tokens": 7},
    )
    first, second, third = (each.body for each in provider.asked)
    common = {"model", "messages", "stream", "stream_options"}
    assert set(first) == common | {"temperature", "max_tokens", "seed", "top_p"}
    assert first["stream"] is True
    assert set(second) == common
    assert third == {"model": "stub", "messages": third["messages"], "stream": True, "max_completion_tokens": 7, "seed": 3}


async def test_without_a_key_no_authorization_is_sent(ask, provider: StubProvider) -> None:
    await parts_of(ask(api_key=""))
    assert "authorization" not in provider.asked[0].headers


async def test_reasoning_is_apart_from_the_answer(ask) -> None:
    parts = await parts_of(ask("reasons"))
    assert parts[:2] == [ReasoningDelta("Let me think."), TextDelta("42")]


async def test_a_character_cut_at_every_byte_survives(ask) -> None:
    assert text_of(await parts_of(ask("emoji-bytes"))) == f"a{SMILE}b"


async def test_every_cut_of_an_emoji_survives(ask, provider: StubProvider) -> None:
    body = f'data: {{"choices":[{{"delta":{{"content":"{SMILE}"}}}}]}}\n\n'.encode()
    start = body.index(SMILE.encode())
    for cut in range(start, start + 5):
        provider.scripts["cut"] = [{"raw": body[:cut]}, {"pause": 0.01}, {"raw": body[cut:]}, *DONE]
        assert text_of(await parts_of(ask("cut"))) == SMILE


async def test_halves_of_a_surrogate_pair_are_joined_and_nul_is_replaced(ask, provider: StubProvider) -> None:
    provider.scripts["halves"] = [{"text": "a\ud83d"}, {"text": "\ude00\x00"}, {"reasoning": "\udc00"}, {"text": "\ud83d"}, *DONE]
    parts = await parts_of(ask("halves"))
    assert text_of(parts) == f"a{SMILE}\ufffd\ufffd"
    assert reasoning_of(parts) == "\ufffd"


async def test_bytes_that_are_not_utf8_are_replaced(ask, provider: StubProvider) -> None:
    provider.scripts["latin"] = [{"raw": b'data: {"choices":[{"delta":{"content":"caf\xe9"}}]}\n\n'}, *DONE]
    assert text_of(await parts_of(ask("latin"))) == "caf\ufffd"


async def test_tool_calls_come_whole_before_the_finish(ask, provider: StubProvider) -> None:
    provider.scripts["tools"] = [
        {"delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"at"'}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ': "sky"}'}}]}},
        {"finish": "tool_calls"},
        {"done": True},
    ]
    assert await parts_of(ask("tools")) == [ToolCall("c1", "look", {"at": "sky"}), Finish("tool_calls")]


async def test_a_provider_that_does_not_stream_is_one_text(ask) -> None:
    assert await parts_of(ask("plain-json")) == [TextDelta("Hello world"), Usage(3, 2), Finish("stop")]


async def test_a_body_that_ends_with_its_connection_is_an_end(ask, provider: StubProvider) -> None:
    provider.scripts["close"] = [{"framing": "close"}, {"text": "x"}, {"finish": "length"}]
    assert await parts_of(ask("close")) == [TextDelta("x"), Finish("length")]


@pytest.mark.parametrize("model", ["closes-early", "resets", "no-finish", "done-without-finish"])
async def test_an_answer_that_breaks_off_keeps_its_text_and_is_incomplete(ask, model: str) -> None:
    parts, error = await failure_of(ask(model))
    assert text_of(parts) == "Hello wor"
    assert (error.code, error.retryable) == ("provider_incomplete", True)


async def test_an_empty_body_is_incomplete(ask) -> None:
    assert (await failure_of(ask("empty")))[1].code == "provider_incomplete"


async def test_a_connection_that_breaks_after_the_finish_is_no_failure(ask, provider: StubProvider) -> None:
    provider.scripts["late"] = [{"text": "x"}, {"finish": "stop"}, {"close": True}]
    assert await parts_of(ask("late")) == [TextDelta("x"), Finish("stop")]


async def test_a_provider_that_never_ends_its_body_after_the_finish_is_not_waited_for(
    ask, provider: StubProvider, settings
) -> None:
    settings.ENGINE_IDLE_SECONDS = 0.2
    provider.scripts["late"] = [{"text": "x"}, {"finish": "stop"}, {"hang": True}]
    assert await parts_of(ask("late")) == [TextDelta("x"), Finish("stop")]


@pytest.mark.parametrize("model", ["garbage", "html"])
async def test_garbage_is_told_as_such(ask, model: str) -> None:
    parts, error = await failure_of(ask(model))
    assert parts == []
    assert (error.code, error.retryable) == ("provider_garbage", False)


async def test_a_line_beyond_the_limit_is_not_collected(ask, provider: StubProvider, settings) -> None:
    settings.ENGINE_LINE_MAX_BYTES = 50_000
    provider.scripts["endless"] = [{"text": "x"}, {"raw": b"data: "}] + [{"raw": b"y" * 10_000}] * 1000
    parts, error = await failure_of(ask("endless"))
    assert parts == [TextDelta("x")]
    assert error.code == "provider_garbage"
    assert (await provider.closed()).sent_bytes < 10_000_000


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "provider_rejected", False),
        (401, "provider_auth", False),
        (403, "provider_auth", False),
        (404, "provider_model_not_found", False),
        (422, "provider_rejected", False),
        (429, "provider_rate_limited", True),
        (500, "provider_error", True),
        (503, "provider_error", True),
    ],
)
async def test_each_status_becomes_a_clear_error(ask, status: int, code: str, retryable: bool) -> None:
    parts, error = await failure_of(ask(f"status-{status}"))
    assert parts == []
    assert (error.code, error.retryable) == (code, retryable)


async def test_a_rejection_says_what_the_provider_said(ask, provider: StubProvider) -> None:
    provider.scripts["no"] = [{"status": 400, "body": {"error": {"message": f"too\nlong\x00 {SECRET} " + "x" * 9000}}}]
    message = (await failure_of(ask("no")))[1].message
    assert "too long" in message
    assert len(message) < 700
    assert SECRET not in message


async def test_the_key_is_never_shown(ask, provider: StubProvider) -> None:
    for status in (401, 403, 404, 429, 500):
        provider.scripts["echo"] = [{"status": status, "body": {"error": {"message": f"bad key {SECRET}"}}}]
        assert SECRET not in str((await failure_of(ask("echo")))[1])


async def test_retry_after_is_in_the_message(ask, provider: StubProvider) -> None:
    provider.scripts["busy"] = [{"status": 429, "headers": {"Retry-After": "17"}, "body": "slow down"}]
    assert "17 s" in (await failure_of(ask("busy")))[1].message


async def test_an_error_page_that_is_huge_or_html_is_only_quoted(ask, provider: StubProvider) -> None:
    provider.scripts["page"] = [{"status": 502, "body": "<html>" + "x" * 1_000_000}]
    error = (await failure_of(ask("page")))[1]
    assert error.code == "provider_error"
    assert len(error.message) < 700


async def test_an_error_inside_the_stream_keeps_the_text(ask) -> None:
    parts, error = await failure_of(ask("error-inside"))
    assert text_of(parts) == "Hello"
    assert error.code == "provider_error"
    assert "overloaded" in error.message


async def test_nobody_listening_is_unreachable(ask, provider: StubProvider) -> None:
    engine = ask()
    await provider.__aexit__()
    error = (await failure_of(engine))[1]
    assert (error.code, error.retryable) == ("provider_unreachable", True)


async def test_a_connection_closed_without_an_answer_is_unreachable(ask) -> None:
    assert (await failure_of(ask("no-answer")))[1].code == "provider_unreachable"


@pytest.mark.parametrize("model", ["silent", "headers-only"])
async def test_no_first_byte_in_time_is_a_timeout_and_closes_the_connection(
    ask, provider: StubProvider, settings, model: str
) -> None:
    settings.ENGINE_FIRST_BYTE_SECONDS = 0.3
    began = time.monotonic()
    error = (await failure_of(ask(model)))[1]
    assert (error.code, error.retryable) == ("provider_timeout", True)
    assert 0.25 < time.monotonic() - began < patiently(2)
    assert (await provider.closed(within=1)).closed is not None


async def test_silence_in_the_middle_is_a_timeout_with_the_text_kept(ask, provider: StubProvider, settings) -> None:
    settings.ENGINE_IDLE_SECONDS = 0.3
    parts, error = await failure_of(ask("hangs"))
    assert text_of(parts) == "Hello wor"
    assert error.code == "provider_timeout"
    assert (await provider.closed(within=1)).closed is not None


async def test_a_slow_but_living_provider_is_no_timeout(ask, provider: StubProvider, settings) -> None:
    settings.ENGINE_FIRST_BYTE_SECONDS = settings.ENGINE_IDLE_SECONDS = 0.5
    provider.scripts["slow"] = [{"raw": ": working\n\n"}, {"pause": 0.3}] * 4 + [{"text": "x"}, *DONE]
    assert text_of(await parts_of(ask("slow"))) == "x"


async def test_cancelling_closes_the_upstream_connection_within_a_second(ask, provider: StubProvider) -> None:
    await first_text_then_cancel(ask("hangs"))
    cancelled = time.monotonic()
    request = await provider.closed(within=1)
    assert request.closed is not None
    assert request.closed - cancelled < 1


async def test_cancelling_before_the_first_byte_closes_it_too(ask, provider: StubProvider) -> None:
    task = asyncio.create_task(parts_of(ask("silent")))
    await provider.arrived()
    task.cancel()
    assert (await provider.closed(within=1)).closed is not None
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_closing_the_iterator_closes_the_upstream_connection(ask, provider: StubProvider) -> None:
    async with aclosing(ask("hangs").stream(EngineRequest("x"))) as parts:
        assert await anext(parts) == TextDelta("Hello")
    assert (await provider.closed(within=1)).closed is not None


async def test_an_answer_read_to_its_end_leaves_its_connection_for_the_next(ask, provider: StubProvider) -> None:
    engine = ask()
    for _ in range(3):
        await parts_of(engine)
    assert [each.connection for each in provider.asked] == [1, 1, 1]


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(ask, provider: StubProvider) -> None:
    engine = ask("tokens-5-50")
    await asyncio.gather(*(parts_of(engine) for _ in range(5)))
    provider.drops_reused = True
    assert text_of(await parts_of(engine)) == "w0 w1 w2 w3 w4 "
    assert len(provider.asked) == 6


async def test_nothing_is_asked_twice(ask, provider: StubProvider) -> None:
    for model in ("status-500", "no-answer", "closes-early"):
        await failure_of(ask(model))
    assert len(provider.asked) == 3


async def test_without_a_model_the_first_listed_is_asked_for_once(ask, provider: StubProvider) -> None:
    provider.models = ["first", "second"]
    engine = ask("")
    await asyncio.gather(*(parts_of(engine) for _ in range(20)))
    assert {each.body["model"] for each in provider.asked} == {"first"}
    assert sum(each.path == "/v1/models" for each in provider.requests) == 1


async def test_no_listed_model_says_which_setting_helps(ask, provider: StubProvider) -> None:
    provider.models = []
    assert "OPENAI_MODEL" in (await failure_of(ask("")))[1].message


async def test_three_hundred_answers_at_once_all_end(ask, provider: StubProvider) -> None:
    engine = ask("tokens-20-20")
    async with asyncio.timeout(patiently(60)):
        answers = await asyncio.gather(*(parts_of(engine) for _ in range(300)))
    assert {text_of(parts) for parts in answers} == {"".join(f"w{n} " for n in range(20))}
    assert len(provider.asked) == 300


async def test_three_hundred_cancelled_answers_do_not_use_up_the_connections(ask, provider: StubProvider) -> None:
    engine = ask("hangs")
    async with asyncio.timeout(patiently(60)):
        await asyncio.gather(*(first_text_then_cancel(engine) for _ in range(300)))
        for position in range(300):
            assert (await provider.closed(position)).closed is not None
        assert text_of(await parts_of(engine, "!provider " + json.dumps([{"text": "still here"}, *DONE]))) == "still here"


def test_an_engine_serves_one_event_loop_after_another(provider_thread) -> None:
    engine = OpenAIEngine(base_url=provider_thread.base_url, model="stub")
    for _ in range(2):
        assert text_of(asyncio.run(parts_of(engine, "hello"))) == "hello"


async def test_a_proxy_of_the_environment_is_not_asked_for_our_own_machine(ask, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert text_of(await parts_of(ask(), "hello")) == "hello"


def test_check_asks_for_a_key_or_an_address() -> None:
    assert "OPENAI_API_KEY" in OpenAIEngine().check()
    assert OpenAIEngine(api_key="x").check() is None
    assert OpenAIEngine(base_url="http://127.0.0.1/v1").check() is None


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host/v1", "http://", "not a url"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="OPENAI_BASE_URL"):
        OpenAIEngine(base_url=url)


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        OpenAIEngine(api_key="sk-ключ")
    assert "ключ" not in str(caught.value)
    assert OpenAIEngine(api_key=" sk-1\n").check() is None


@pytest.fixture
def provider_thread():
    with provider_in_thread() as stub:
        yield stub


async def test_the_model_of_the_request_comes_before_the_engines_own(ask, provider: StubProvider) -> None:
    await parts_of(ask(), options={"model": "another-model"})
    await parts_of(ask())
    assert [each.body["model"] for each in provider.asked] == ["another-model", "stub"]
