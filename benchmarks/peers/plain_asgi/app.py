"""An ASGI application that passes what is published on one Valkey channel to every reader, as SSE."""

import asyncio
import os
from typing import Any

import redis.asyncio

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Log:
    """Everything published since the start, as frames; what a reader has not had is joined once for all who stand there."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.joined: dict[int, bytes] = {}
        self.news: asyncio.Future[None] | None = None
        self.listening: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Takes what is published, for ever."""
        pubsub = redis.asyncio.from_url(os.environ["REDIS_URL"]).pubsub()
        await pubsub.subscribe("bench")
        async for message in pubsub.listen():
            if message["type"] == "message":
                self.frames.append(b"id: %d\ndata: %s\n\n" % (len(self.frames) + 1, message["data"]))
                self.joined = {}
                if self.news:
                    self.news.set_result(None)
                    self.news = None

    def after(self, position: int) -> bytes:
        """All frames after a position, as one piece."""
        joined = self.joined.get(position)
        if joined is None:
            joined = self.joined[position] = b"".join(self.frames[position:])
        return joined

    def wait(self) -> asyncio.Future[None]:
        """Done when there is another frame."""
        if self.news is None:
            self.news = asyncio.get_running_loop().create_future()
        return self.news


log = Log()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Every GET is a stream of everything published after it came."""
    if scope["type"] == "lifespan":
        await receive()
        log.listening = asyncio.create_task(log.listen())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    position = len(log.frames)
    await receive()
    left = asyncio.create_task(receive())
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b":\n", "more_body": True})
    while not left.done():
        if position == len(log.frames):
            await asyncio.shield(log.wait())
        body, position = log.after(position), len(log.frames)
        await send({"type": "http.response.body", "body": body, "more_body": True})
