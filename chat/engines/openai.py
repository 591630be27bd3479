"""Any OpenAI-compatible `/chat/completions` endpoint.

Plain httpx and no SDK: this is one small protocol, and the SDK would take away what matters
here - exact control of when the connection is closed (closing it is how a provider is told to
stop), of the time between two bytes, and of how lines are split.

Nothing is retried, not even before the first byte: the provider may have begun to generate,
and to bill, when the connection broke, and a second attempt doubles the wait under a rate
limit. The error says `retryable` and the person decides. (A kept connection that the provider
had closed before it could read the question is another matter: `_on_living_connection`.)
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
from django.core.exceptions import ImproperlyConfigured

from chat.conf import conf
from chat.engines.base import BaseEngine, EngineError, EnginePart, EngineRequest
from chat.engines.completions import CompletionReader
from chat.engines.prompts import chat_messages, tool_definitions
from chat.engines.provider_errors import error_detail, garbage, status_error

DEFAULT_BASE_URL = "https://api.openai.com/v1"
ERROR_BODY_MAX_BYTES = 65_536
# After the finish reason only the usage is missing: not worth a long wait, nor a failure.
USAGE_GRACE_SECONDS = 5.0
# How long the end of a body is waited for, so that its connection can be used again.
DRAIN_SECONDS = 0.2
# Below the 5 s after which uvicorn (vLLM), Node and others close an idle connection.
KEEPALIVE_SECONDS = 2.0
_PASSED_ON: dict[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "seed": (int,),
}


class OpenAIEngine(BaseEngine):
    """Streams answers from an OpenAI-compatible endpoint.

    OPTIONS: `base_url` (up to and with /v1), `api_key`, `model` (empty: the first the endpoint
    lists), `include_usage` (False for endpoints that refuse `stream_options`),
    `max_tokens_field` (`max_completion_tokens` for models that insist on it), `keep_alive`
    (False for servers where an idle connection holds a thread, as llama.cpp's), `body` (fields
    of every request, under those the request itself brings) and `tools` (False for models that
    refuse requests with tools).
    """

    edits = True

    def __init__(
        self,
        *,
        base_url: str = "",
        api_key: str = "",
        model: str = "",
        include_usage: bool = True,
        max_tokens_field: str = "max_tokens",
        keep_alive: bool = True,
        body: dict[str, Any] | None = None,
        tools: bool = True,
    ) -> None:
        self.takes_tools = tools
        self._configured = bool(base_url.strip() or api_key.strip())
        self._base_url = (base_url.strip() or DEFAULT_BASE_URL).rstrip("/")
        self._api_key = api_key.strip()
        self._model = model.strip()
        self._include_usage = include_usage
        self._max_tokens_field = max_tokens_field
        self._keep_alive = keep_alive
        self._body = body or {}
        self._address = _address(self._base_url)
        if not (self._api_key.isascii() and self._api_key.isprintable()):
            raise ImproperlyConfigured("OPENAI_API_KEY holds characters that no header can carry: paste the key again.")
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listing = asyncio.Lock()

    def check(self) -> str | None:
        """Whether an endpoint is configured; it is not asked."""
        return None if self._configured else "Set OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own."

    async def stream(self, request: EngineRequest) -> AsyncGenerator[EnginePart, None]:
        """The parts of one answer; see `BaseEngine.stream`."""
        loop = asyncio.get_running_loop()
        client = self._open()
        deadline = loop.time() + conf.ENGINE_FIRST_BYTE_SECONDS
        # Of the application or of the request, before the engine's own.
        model = str(request.options.get("model") or self._model) or await self._first_model(client, deadline)
        response = await self._post(client, self._payload(request, model), deadline)
        try:
            await self._accept(response, model)
            async with aclosing(self._read(response, deadline)) as parts:
                async for part in parts:
                    yield part
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Closes the kept connections."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    def _open(self) -> httpx.AsyncClient:
        """The connection pool of the running loop; a pool of another loop, long over, is forgotten."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop, self._listing = loop, asyncio.Lock()
            # Without bounds on connections: RUN_CONCURRENCY bounds the runs, and a second bound
            # here could only make runs wait for each other. A proxy from the environment has no
            # business between us and our own machine.
            self._client = httpx.AsyncClient(
                headers=self._headers(),
                timeout=httpx.Timeout(None, connect=conf.ENGINE_CONNECT_SECONDS),
                limits=httpx.Limits(
                    max_connections=None,
                    max_keepalive_connections=64 if self._keep_alive else 0,
                    keepalive_expiry=KEEPALIVE_SECONDS,
                ),
                trust_env=httpx.URL(self._base_url).host not in ("127.0.0.1", "localhost", "::1"),
            )
        return self._client

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # compression would hold text back
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        if not self._keep_alive:
            headers["Connection"] = "close"
        return headers

    def _payload(self, request: EngineRequest, model: str) -> dict[str, Any]:
        payload: dict[str, Any] = {**self._body, "model": model, "messages": chat_messages(request), "stream": True}
        if request.tools:
            payload["tools"] = tool_definitions(request.tools)
        if self._include_usage:
            payload["stream_options"] = {"include_usage": True}
        for name, types in _PASSED_ON.items():
            value = request.options.get(name)
            if isinstance(value, types) and not isinstance(value, bool):
                payload[self._max_tokens_field if name == "max_tokens" else name] = value
        return payload

    async def _first_model(self, client: httpx.AsyncClient, deadline: float) -> str:
        """The first model the endpoint lists; asked once, by one run, however many wait."""
        async with self._listing:
            if not self._model:
                self._model = _first_listed(
                    await self._fetch(client, client.build_request("GET", f"{self._base_url}/models"), deadline)
                )
            return self._model

    async def ask(self, url: str, payload: dict[str, Any]) -> object:
        """POSTs JSON to another address of the same server and gives the decoded answer; raises `EngineError`."""
        client = self._open()
        deadline = asyncio.get_running_loop().time() + conf.ENGINE_FIRST_BYTE_SECONDS
        return await self._fetch(client, client.build_request("POST", url, content=json.dumps(payload).encode()), deadline)

    async def _fetch(self, client: httpx.AsyncClient, request: httpx.Request, deadline: float) -> object:
        """The body of a short answer."""
        response = await self._send(client, request, deadline)
        try:
            await self._accept(response, "")
            return await self._body_of(response, conf.ENGINE_LINE_MAX_BYTES)
        finally:
            await response.aclose()

    async def _post(self, client: httpx.AsyncClient, payload: dict[str, Any], deadline: float) -> httpx.Response:
        request = client.build_request(
            "POST",
            f"{self._base_url}/chat/completions",
            # ASCII only: whatever is in the question, this can be encoded.
            content=json.dumps(payload).encode(),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream, application/json"},
        )
        return await self._send(client, request, deadline)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request, deadline: float) -> httpx.Response:
        """The response with its headers; its body is still to come."""
        try:
            async with asyncio.timeout_at(deadline):
                return await _on_living_connection(client, request)
        except TimeoutError as error:
            raise self._silent(conf.ENGINE_FIRST_BYTE_SECONDS) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            message = f"Cannot connect to {self._address}: check OPENAI_BASE_URL and that the provider runs."
            raise EngineError("provider_unreachable", message, retryable=True) from error
        except httpx.HTTPError as error:
            message = f"{self._address} closed the connection without an answer. Try again."
            raise EngineError("provider_unreachable", message, retryable=True) from error

    async def _accept(self, response: httpx.Response, model: str) -> None:
        """Raises the error of a status that is not a success."""
        if response.is_success:
            return
        body = await self._body_of(response, ERROR_BODY_MAX_BYTES)
        raise status_error(
            response.status_code,
            detail=error_detail(body, secret=self._api_key),
            model=model,
            retry_after=response.headers.get("retry-after", ""),
        )

    async def _body_of(self, response: httpx.Response, limit: int) -> object:
        """A short body, decoded when it is JSON; as much of it as comes in good time and fits."""
        body = bytearray()
        try:
            async with asyncio.timeout(conf.ENGINE_CONNECT_SECONDS):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > limit:
                        break
        except (TimeoutError, httpx.HTTPError):
            pass  # what has come is enough for a message
        text = bytes(body[:limit]).decode(errors="replace")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    async def _read(self, response: httpx.Response, deadline: float) -> AsyncGenerator[EnginePart, None]:
        """The parts in the body of an accepted response."""
        reader = CompletionReader(limit=conf.ENGINE_LINE_MAX_BYTES, secret=self._api_key)
        body = response.aiter_bytes()
        cut = False
        while not (cut or reader.done):
            try:
                chunk = await self._next(body, reader, deadline)
            except httpx.HTTPError:
                cut = True  # broken off: what has come is kept, and `end` says the rest
                break
            if chunk is None:
                break
            for part in reader.feed(chunk):
                yield part
        for part in reader.end(cut=cut):
            yield part
        if reader.done:
            await _drain(body)

    async def _next(self, body: AsyncIterator[bytes], reader: CompletionReader, deadline: float) -> bytes | None:
        """The next bytes, None at the end; raises `provider_timeout` when none come in time."""
        now = asyncio.get_running_loop().time()
        idle = conf.ENGINE_IDLE_SECONDS
        if reader.finish_reason is not None:
            deadline = now + min(idle, USAGE_GRACE_SECONDS)
        elif reader.started:
            deadline = now + idle
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(body, None)
        except TimeoutError as error:
            if reader.finish_reason is not None:
                return None
            raise self._silent(idle if reader.started else conf.ENGINE_FIRST_BYTE_SECONDS) from error

    def _silent(self, seconds: float) -> EngineError:
        message = f"{self._address} has sent nothing for {seconds:g} s. Try again."
        return EngineError("provider_timeout", message, retryable=True)


def _address(base_url: str) -> str:
    """Host and port for messages: never the path, query or credentials of the URL."""
    try:
        url = httpx.URL(base_url)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise ImproperlyConfigured("OPENAI_BASE_URL must be an address like http://127.0.0.1:8080/v1.")
    return f"{url.host}:{url.port}" if url.port else url.host


def _first_listed(body: object) -> str:
    models = body.get("data") if isinstance(body, dict) else None
    first = models[0] if isinstance(models, list) and models else None
    name = first.get("id") if isinstance(first, dict) else None
    if not isinstance(name, str) or not name:
        raise garbage("its list of models names none; set OPENAI_MODEL")
    return name


async def _on_living_connection(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Sends the request; again, as curl does, when a kept connection turns out to have been closed meanwhile.

    That is no retry of a question: the server had closed before it could read it. Each turn uses
    up one kept connection, and what happens on a new connection is final.
    """
    while True:
        opened: list[str] = []

        async def trace(event: str, _: object, opened: list[str] = opened) -> None:
            if event == "connection.connect_tcp.started":
                opened.append(event)

        request.extensions["trace"] = trace
        try:
            return await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if opened:
                raise


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Reads a body that is over to its very end, so that the connection can be kept."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await anext(body, None) is not None:
                pass
    except (TimeoutError, httpx.HTTPError):
        pass  # then the connection is closed instead
