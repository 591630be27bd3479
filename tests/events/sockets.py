"""A client that calls a consumer as a server would."""

import asyncio
import json
from urllib.parse import urlencode

from tests.events.conftest import until
from tests.patience import patiently


class Socket:
    """One WebSocket of a consumer. `slow`: the reader takes nothing while `ready` is not set."""

    def __init__(self, consumer, path="/ws/test", *, query=None, headers=(), subprotocols=(), path_args=None, slow=False):
        self.sent = []
        self.ready = asyncio.Event()
        if not slow:
            self.ready.set()
        self._incoming = asyncio.Queue()
        self._read = 0
        self.scope = {
            "type": "websocket",
            "path": path,
            "scheme": "ws",
            "query_string": urlencode(query or {}).encode(),
            "headers": [(b"host", b"testserver"), *((n.lower().encode(), v.encode()) for n, v in dict(headers).items())],
            "subprotocols": list(subprotocols),
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 50000),
            "url_route": {"args": (), "kwargs": path_args or {}},
        }
        self.consumer = consumer()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self.consumer(self.scope, self._incoming.get, self._send), name="a socket under test")

    async def _send(self, message):
        await self.ready.wait()
        assert self.closed is None, f"sent after the close: {message}"
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self._incoming.put_nowait({"type": "websocket.disconnect", "code": message.get("code", 1000)})

    @property
    def frames(self):
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]

    @property
    def types(self):
        return [frame["type"] for frame in self.frames]

    @property
    def subprotocol(self):
        return self.sent[0].get("subprotocol")

    @property
    def closed(self):
        """(code, reason) once the server closed it."""
        last = self.sent[-1] if self.sent else {}
        return (last.get("code", 1000), last.get("reason", "")) if last.get("type") == "websocket.close" else None

    def say(self, frame):
        """Sends a frame, or text as it is, or bytes."""
        if isinstance(frame, bytes):
            self._incoming.put_nowait({"type": "websocket.receive", "bytes": frame})
        else:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    async def next(self, *, seconds=5):
        """The next frame that was not read yet."""
        await until(lambda: len(self.frames) > self._read or self.task.done(), seconds=seconds)
        assert len(self.frames) > self._read, f"the socket is over: {self.closed}"
        self._read += 1
        return self.frames[self._read - 1]

    async def answer(self, frame):
        """Sends a frame and returns the next one that comes."""
        self.say(frame)
        return await self.next()

    async def over(self, *, seconds=5):
        """Waits for the end; (code, reason) if the server closed it."""
        async with asyncio.timeout(patiently(seconds)):
            await asyncio.wait([self.task])
        self.task.result()
        return self.closed

    async def leave(self, code=1001):
        """The client goes away; waits until the server has cleaned up."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})
        return await self.over()
