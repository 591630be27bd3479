"""A client that calls the ASGI handler as a server would."""

import asyncio
from urllib.parse import urlencode

from tests.events.conftest import until
from tests.patience import patiently


class Exchange:
    """One request and what was answered. `slow`: the client takes nothing until `ready` is set."""

    def __init__(self, handler, path, *, method="GET", headers=(), query="", parts=(b"",), slow=False, host="testserver"):
        self.messages = []
        self.gone = asyncio.Event()
        self.ready = asyncio.Event()
        if not slow:
            self.ready.set()
        self._parts = list(parts)
        query = query if isinstance(query, bytes) else urlencode(query).encode() if isinstance(query, dict) else query.encode()
        raw = [(b"host", host.encode())] + [
            (name.lower().encode(), value.encode("latin-1")) for name, value in dict(headers).items()
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": raw,
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 50000),
        }
        self.task = asyncio.create_task(handler(scope, self._receive, self._send))

    async def _receive(self):
        if self._parts:
            return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.ready.wait()
        self.messages.append(message)

    @property
    def status(self):
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self):
        return {name.decode().lower(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def ended(self):
        """Whether the response was ended in order."""
        return bool(self.messages) and self.messages[-1].get("more_body") is False

    async def over(self, *, seconds=5):
        """Waits for the end of the response."""
        async with asyncio.timeout(patiently(seconds)):
            await self.task
        return self

    async def has(self, text, *, seconds=5):
        """Waits until the body contains this."""
        await until(lambda: text in self.body, seconds=seconds)

    async def leave(self):
        """The client goes away; waits until the server has noticed."""
        self.gone.set()
        await self.over()


def frames(body):
    """What a strict reader of Server-Sent Events understands: (event, data, last event id) of each dispatched event.

    Written from https://html.spec.whatwg.org/multipage/server-sent-events.html, and not from our writer.
    """
    result, event, data, last_id = [], "", [], ""
    for line in body.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if line == "":
            if data:
                result.append((event or "message", "\n".join(data), last_id))
            event, data = "", []
            continue
        if line.startswith(":"):
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value
    return result
