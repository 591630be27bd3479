"""A feed as an HTTP response, and the mark of views that open one."""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from django.http.response import HttpResponseBase

from events import sse
from events.connections import Connection, current_connections
from events.event import Event
from events.feed import KEEPALIVE, Feed
from events.guard import Guard
from events.ring import Batch, Encoder

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # no-transform and X-Accel-Buffering keep proxies, identity keeps GZipMiddleware from holding bytes back.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
    "X-Content-Type-Options": "nosniff",
}

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Fill = Callable[[list[Event]], Awaitable[list[Event]]]
View = TypeVar("View", bound=Callable[..., Awaitable[HttpResponseBase]])


def stream_endpoint(*methods: str, body_limit: int = 0, error_shape: str = "success") -> Callable[[View], View]:
    """Marks an async view that answers with an `EventStreamResponse`, for these methods, with at most `body_limit` bytes of body.

    Such views run without Django's middleware: see `events.asgi`. `error_shape`: see `events.exceptions.error_response`.
    """

    def mark(view: View) -> View:
        view.stream_methods = methods  # type: ignore[attr-defined]
        view.body_limit = body_limit  # type: ignore[attr-defined]
        view.error_shape = error_shape  # type: ignore[attr-defined]
        return view

    return mark


class StreamResponse(HttpResponseBase):
    """A response that is written as long as it is open, straight to ASGI `send`; `events.asgi` has it written.

    `prelude` is sent at once; before anything else is sent `guard` is asked, and what it forbids ends with `expired`;
    `closing` is called once when the response is over, whatever happened.
    """

    streaming = True

    def __init__(
        self,
        *,
        prelude: bytes,
        guard: Guard | None = None,
        expired: bytes = b"",
        closing: Callable[[], Awaitable[None]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers=HEADERS | (headers or {}))
        self.prelude = prelude
        self.guard = guard
        self.expired = expired
        self.closing = closing

    def stop(self) -> None:
        """Ends it: the client has left."""
        raise NotImplementedError

    async def write_all(self, send: Send) -> None:
        """Writes everything after the prelude, until the end."""
        raise NotImplementedError

    async def stream_to(self, send: Send) -> None:
        """Writes everything. A slow client is waited for here, and costs nothing elsewhere."""
        try:
            await write(send, self.prelude)
            await self.write_all(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if self.closing is not None:
                await self.closing()

    @contextmanager
    def registered(self, session: str, give_notice: Callable[[], None]) -> Iterator[None]:
        """Counts as an open connection, where it is known whose it is. `give_notice` has the guard asked soon."""
        guard = self.guard
        if guard is None:
            yield
            return

        def recheck() -> None:
            guard.ask_now()
            give_notice()

        connection = Connection(
            id=secrets.token_urlsafe(16),
            user_id=guard.caller.user_id,
            session=session,
            path=guard.scope["path"],
            transport="sse",
            # HTTP knows no close codes: the stream ends, cleanly.
            end=lambda _code, _reason: self.stop(),
            recheck=recheck,
        )
        connections = current_connections()
        connections.register(connection)
        try:
            yield
        finally:
            connections.unregister(connection)

    async def forbids(self, send: Send) -> bool:
        """Whether the reader may no longer read; he is told."""
        if self.guard is None or await self.guard.allows():
            return False
        await write(send, self.expired)
        return True


class EventStreamResponse(StreamResponse):
    """A feed, told in one client's frames. `truncated` makes the frame that says why events are missing; `fill` completes
    events that only refer to something large, before they are encoded.
    """

    def __init__(
        self,
        *,
        feed: Feed | None,
        encoder: Encoder,
        prelude: bytes = sse.CONNECTED,
        truncated: Callable[[Batch], bytes] | None = None,
        fill: Fill | None = None,
        guard: Guard | None = None,
        expired: bytes = b"",
        closing: Callable[[], Awaitable[None]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(prelude=prelude, guard=guard, expired=expired, closing=closing, headers=headers)
        self._feed = feed
        self._encoder = encoder
        self._truncated = truncated
        self._fill = fill

    def stop(self) -> None:
        """Ends the feed."""
        if self._feed is not None:
            self._feed.stop()

    async def write_all(self, send: Send) -> None:
        """Writes everything until the feed ends."""
        if self._feed is not None:
            async with self._feed as feed:
                with self.registered(feed.stream.name, feed.give_notice):
                    await self._write_feed(feed, send)

    async def _write_feed(self, feed: Feed, send: Send) -> None:
        guard = self.guard
        while True:
            if guard is not None:
                feed.look_by = guard.due
            batch = await feed.next()
            if batch is None or await self.forbids(send):
                return
            data = sse.KEEPALIVE if batch is KEEPALIVE else await self._encoded(batch)
            if batch.reason and self._truncated is not None:
                data = self._truncated(batch) + data
            if data:
                await write(send, data)

    async def _encoded(self, batch: Batch) -> bytes:
        if self._fill is None:
            return batch.encoded(self._encoder)
        return b"".join(map(self._encoder.frame, await self._fill(batch.events)))


async def write(send: Send, data: bytes) -> None:
    """Sends a part of a body."""
    await send({"type": "http.response.body", "body": data, "more_body": True})
