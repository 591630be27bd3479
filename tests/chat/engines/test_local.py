"""The offline model for real; skipped where it is not installed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import psutil
import pytest

from chat.engines import local
from chat.engines.base import EngineRequest, Finish, TextDelta, Turn, Usage
from chat.engines.local import INSTALL, LocalEngine
from chat.engines.openai import OpenAIEngine
from tests.chat.engines.answers import failure_of, first_text_then_cancel, parts_of, text_of
from tests.patience import patiently

MISSING = LocalEngine().check()
installed = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
LONG = "Tell me a very long story about a ship, a storm and a lighthouse."


@pytest.fixture
async def engine(settings) -> AsyncIterator[LocalEngine]:
    settings.LOCAL_ENGINE_CONTEXT = 512
    made = LocalEngine()
    yield made
    await made.close()


async def busy_is(expected: bool, engine: LocalEngine, *, within: float) -> None:
    """Waits until the model works, or no longer does; nobody but it knows."""
    headers = {"Authorization": f"Bearer {engine._upstream._api_key}", "Connection": "close"}
    async with httpx.AsyncClient(trust_env=False, headers=headers) as client, asyncio.timeout(within):
        while await _busy(client, engine) is not expected:  # noqa: ASYNC110 - another process, it cannot tell
            await asyncio.sleep(0.02)


async def _busy(client: httpx.AsyncClient, engine: LocalEngine) -> bool:
    return any(slot["is_processing"] for slot in (await client.get(f"{engine._address}/slots")).json())


@installed
async def test_it_answers_with_usage_and_a_finish(engine: LocalEngine) -> None:
    parts = await parts_of(engine, "What is the capital of France?", options={"max_tokens": 12})
    assert len(text_of(parts)) > 5
    assert sum(isinstance(part, TextDelta) for part in parts) > 2
    assert isinstance(parts[-2], Usage)
    assert parts[-1] in (Finish("stop"), Finish("length"))


@installed
async def test_the_same_seed_without_temperature_gives_the_same_answer(engine: LocalEngine) -> None:
    options = {"max_tokens": 12, "temperature": 0, "seed": 7}
    assert text_of(await parts_of(engine, "Name a fruit.", options=options)) == text_of(
        await parts_of(engine, "Name a fruit.", options=options)
    )


@installed
async def test_the_event_loop_runs_on_while_the_model_loads_and_writes(engine: LocalEngine) -> None:
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    task = asyncio.create_task(beat())
    await parts_of(engine, "Hello", options={"max_tokens": 30})
    task.cancel()
    assert longest < 0.45  # loading in this process holds it up for 0.5 s and more


@installed
async def test_cancelling_stops_the_writing_within_a_second(engine: LocalEngine) -> None:
    await first_text_then_cancel(engine, LONG)
    await busy_is(False, engine, within=1)


@installed
async def test_cancelling_while_a_long_prompt_is_read_stops_long_before_its_end(engine: LocalEngine) -> None:
    await parts_of(engine, "Hello", options={"max_tokens": 1})
    began = time.monotonic()
    await parts_of(engine, "a dog lay on a rug " * 70, options={"max_tokens": 1})
    whole = time.monotonic() - began
    task = asyncio.create_task(parts_of(engine, "the cat sat on a mat " * 70, options={"max_tokens": 4}))
    await busy_is(True, engine, within=10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    # A second where nothing else runs; read to its end it would take about `whole`.
    await busy_is(False, engine, within=max(1, whole / 3))


@installed
async def test_more_answers_than_slots_all_come(engine: LocalEngine) -> None:
    answers = await asyncio.gather(*(parts_of(engine, f"Say {n}.", options={"max_tokens": 4}) for n in range(6)))
    assert all(text_of(parts) for parts in answers)


@installed
async def test_a_cancelled_answer_gives_its_slot_back(engine: LocalEngine) -> None:
    for _ in range(3):
        await first_text_then_cancel(engine, LONG)
    async with asyncio.timeout(patiently(60)):
        assert text_of(await parts_of(engine, "Hello", options={"max_tokens": 4}))


@installed
async def test_a_history_beyond_the_context_loses_its_oldest_turns(engine: LocalEngine) -> None:
    history = tuple(Turn("user", f"turn {n} " + "word " * 90) for n in range(8))
    upstream = await asyncio.to_thread(engine._started)
    fitted = await engine._fitted(upstream, EngineRequest("And now?", history=history, options={"max_tokens": 16}))
    assert fitted.history == history[-len(fitted.history) :]
    assert 2 <= len(fitted.history) < 8
    parts = await parts_of(engine, "And now?", history=history, options={"max_tokens": 4})
    assert next(part for part in parts if isinstance(part, Usage)).input_tokens < 512


@installed
async def test_attached_texts_are_cut_to_the_context(engine: LocalEngine) -> None:
    attachments = (("long", "word " * 5000), ("short", "The code is 42."))
    parts = await parts_of(engine, "What is the code?", attachments=attachments, options={"max_tokens": 4})
    assert 256 < next(part for part in parts if isinstance(part, Usage)).input_tokens < 512


@installed
async def test_a_question_beyond_the_context_is_refused_clearly(engine: LocalEngine) -> None:
    parts, error = await failure_of(engine, "word " * 3000)
    assert parts == []
    assert (error.code, error.retryable) == ("question_too_long", False)


@installed
async def test_a_model_process_that_died_is_told_and_the_next_question_starts_another(engine: LocalEngine) -> None:
    async with aclosing(engine.stream(EngineRequest(LONG))) as parts:
        await anext(parts)
        engine._process.kill()
        with pytest.raises(local.EngineError) as caught:
            async for _ in parts:
                pass
    assert (caught.value.code, caught.value.retryable) == ("local_model_failed", True)
    await asyncio.to_thread(engine._process.wait)
    assert text_of(await parts_of(engine, "Hello", options={"max_tokens": 4}))


@installed
async def test_it_is_a_real_upstream_for_the_openai_engine(engine: LocalEngine) -> None:
    upstream = await asyncio.to_thread(engine._started)
    client = OpenAIEngine(base_url=f"{engine._address}/v1", api_key=upstream._api_key)
    parts = await parts_of(client, "Name a fruit.", options={"max_tokens": 8, "temperature": 0})
    assert text_of(parts)
    assert isinstance(parts[-2], Usage)
    refused = OpenAIEngine(base_url=f"{engine._address}/v1", api_key="wrong", model="local")
    assert (await failure_of(refused))[1].code == "provider_auth"
    await client.close()
    await refused.close()


@installed
async def test_closing_ends_the_model_process(engine: LocalEngine) -> None:
    await parts_of(engine, "Hello", options={"max_tokens": 1})
    process = psutil.Process(engine._process.pid)
    await engine.close()
    assert not process.is_running()


@installed
def test_the_model_process_ends_with_its_worker_however_that_dies() -> None:
    code = (
        "import json, time; from chat.engines.local import LocalEngine; e = LocalEngine(); e._started();"
        "print(e._process.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup(); {code}"],
        stdout=subprocess.PIPE,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "realtime_project.settings", "PYTHONPATH": "."},
    )
    with worker:
        process = psutil.Process(int(worker.stdout.readline()))
        worker.send_signal(signal.SIGKILL)
        worker.wait(patiently(10))
        process.wait(patiently(10))
    assert not process.is_running()


@installed
async def test_a_file_that_is_no_model_is_told(tmp_path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"this is no model")
    error = (await failure_of(LocalEngine(model_path=str(weights))))[1]
    assert (error.code, error.retryable) == ("local_model_failed", False)


def test_check_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    assert LocalEngine().check() == INSTALL


def test_check_names_a_model_file_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: object())
    assert "model_path" in LocalEngine(model_path="/nowhere/model.gguf").check()


async def test_without_the_packages_a_question_is_answered_by_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    error = (await failure_of(LocalEngine()))[1]
    assert (error.code, error.message) == ("engine_not_configured", INSTALL)
