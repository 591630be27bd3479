"""Django's ASGI entry, made fit for streams.

Stock Django starts a thread per open stream (each request has its own `ThreadSensitiveContext`) and
writes through a chain of async generators. Here all requests share a few threads, and views marked
with `stream_endpoint` run without the middleware stack and are written straight to ASGI `send`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, cast

from asgiref.sync import ThreadSensitiveContext
from corsheaders.middleware import CorsMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve, set_script_prefix

from events.conf import conf
from events.exceptions import InvalidRequest, MethodNotAllowed, ThroughlineError, TooLarge, error_response, translated
from events.metrics import REFUSALS
from events.responses import Send, StreamResponse

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Disconnected(Exception):
    """The client left before its request was complete."""


class SharedThreads:
    """A few single threads that all requests share, the least busy first."""

    def __init__(self, count: int) -> None:
        self._busy = {ThreadPoolExecutor(1, thread_name_prefix=f"request-{number}"): 0 for number in range(count)}

    async def run(self, work: Callable[[], Awaitable[object]]) -> None:
        """Runs `work`; all its synchronous parts (middleware, ORM) on one of the threads."""
        executor = min(self._busy, key=self._busy.__getitem__)
        self._busy[executor] += 1
        try:
            async with ThreadSensitiveContext(executor=executor):
                await work()
        finally:
            self._busy[executor] -= 1


class StreamingASGIHandler(ASGIHandler):
    """Serves everything as Django does, and stream endpoints its own way."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = SharedThreads(conf.EVENTS_THREADS)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI entry point for HTTP."""
        match = _stream_view(scope)
        if match is None:
            await self._serve(scope, receive, send)
            return
        try:
            await self._serve_stream(match, scope, receive, send)
        except Disconnected:
            logger.debug("A client left before its request was complete.")

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """As Django does, with a bound on the body: Django keeps any, on disk, before a view can refuse it."""
        limit = conf.HTTP_BODY_MAX_BYTES
        if _declared_length(scope) > limit:
            await self.send_response(_for_one(error_response(TooLarge(f"The body is larger than {limit} bytes."))), send)
            return
        await self._threads.run(lambda: self.handle(scope, _bounded(receive, limit), send))

    async def _serve_stream(self, match: ResolverMatch, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        set_script_prefix(get_script_prefix(scope))
        # In a function of its own, so that an open stream does not keep its request in memory.
        response = _for_one(await _respond(match, scope, receive))
        if not isinstance(response, StreamResponse):
            await self.send_response(response, send)
            return
        await send({"type": "http.response.start", "status": response.status_code, "headers": _raw_headers(response)})
        watcher = asyncio.create_task(_stop_on_disconnect(receive, response))
        try:
            await response.stream_to(send)
        finally:
            watcher.cancel()


async def _respond(match: ResolverMatch, scope: dict[str, Any], receive: Receive) -> HttpResponseBase:
    try:
        request = ASGIRequest(scope, BytesIO())
    except UnicodeDecodeError:
        shape = getattr(match.func, "error_shape", "success")
        return error_response(InvalidRequest("The query is not UTF-8."), shape=shape)
    request.resolver_match = match

    async def answer(request: HttpRequest) -> HttpResponseBase:
        return await _answer(match, request, receive)

    # Async, because `answer` is: the middleware's own type says only that it may be.
    return await cast("Awaitable[HttpResponseBase]", CorsMiddleware(answer)(request))


def _for_one(response: HttpResponseBase) -> HttpResponseBase:
    """What Django's middleware would add: the answer is what it says it is, and for the one who asked."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def _declared_length(scope: dict[str, Any]) -> int:
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that ends the request when more comes than was declared, or than is accepted where nothing was."""
    size = 0

    async def bounded() -> dict[str, Any]:
        nonlocal size
        message = dict(await receive())
        size += len(message.get("body", b""))
        return message if size <= limit else {"type": "http.disconnect"}

    return bounded


def _stream_view(scope: dict[str, Any]) -> ResolverMatch | None:
    path = scope["path"]
    root = scope.get("root_path", "")
    try:
        match = resolve(path.removeprefix(root) if root else path)
    except Resolver404:
        return None
    return match if hasattr(match.func, "stream_methods") else None


async def _answer(match: ResolverMatch, request: HttpRequest, receive: Receive) -> HttpResponseBase:
    """What the view answers, or its error."""
    view: Any = match.func
    try:
        request.get_host()
        if request.method not in view.stream_methods:
            raise MethodNotAllowed(f"Use {' or '.join(view.stream_methods)} here.")
        request._body = await _read_body(receive, view.body_limit)
        response: HttpResponseBase = await view(request, *match.args, **match.kwargs)
        return response
    except Disconnected:
        raise
    except DisallowedHost:
        error: ThroughlineError = InvalidRequest("This server does not answer to that host name; see the setting ALLOWED_HOSTS.")
    except Exception as raised:
        known = translated(raised)
        if known is None:
            logger.exception("A stream could not be opened: %s", request.path)
        error = known or ThroughlineError()
    REFUSALS.labels(error.code).inc()
    return error_response(error, shape=view.error_shape)


async def _read_body(receive: Receive, limit: int) -> bytes:
    """The whole body; a larger one is refused without being kept."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit and size:
            raise TooLarge(f"The body is larger than {limit} bytes." if limit else "This address takes no body.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _stop_on_disconnect(receive: Receive, response: StreamResponse) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    response.stop()


def _raw_headers(response: HttpResponse | StreamResponse) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
