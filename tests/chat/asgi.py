"""Requests to the real ASGI application in this process and event loop, as a server would make them."""

import asyncio
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from realtime_project.asgi import application
from tests.patience import patiently

SECONDS = 30


@dataclass
class Answer:
    """A whole response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self):
        return json.loads(self.body)

    def frames(self):
        """The data of all frames of an event stream, with the frame's id as `_id` (None: it had none)."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = [line for line in block.split("\n") if line and not line.startswith(":")]
            data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
            ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
            if data:
                found.append(json.loads("\n".join(data)) | {"_id": ids[0] if ids else None})
        return found


@dataclass
class Client:
    """Who asks: `token` is sent as a bearer token; `address` is where the connection comes from."""

    token: str = ""
    address: str = "127.0.0.1"

    async def get(self, target, **options):
        return await self.request("GET", target, **options)

    async def post(self, target, **options):
        return await self.request("POST", target, **options)

    async def request(self, method, target, *, body=b"", headers=None, until=None):
        """The response. An object as body is sent as JSON. The client leaves when `until(body so far)` says so."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer, left = Answer(), asyncio.Event()
        messages = iter([{"type": "http.request", "body": raw, "more_body": False}])

        async def receive():
            for message in messages:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
                return
            answer.body += message.get("body", b"")
            if until is not None and until(answer.body):
                left.set()

        async with asyncio.timeout(patiently(SECONDS)):
            await application(self._scope(method, target, raw, headers or {}), receive, send)
        return answer

    def _scope(self, method, target, raw, headers):
        parts = urlsplit(target)
        sent = {"host": "localhost", "content-type": "application/json", "content-length": str(len(raw))}
        sent |= {"authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.lower(): value for name, value in headers.items()}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "scheme": "http",
            "server": ("localhost", 80),
            "client": (self.address, 50000) if self.address else None,
        }
