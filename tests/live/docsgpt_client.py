"""The browser client of the first seed's system, as its behaviour is described: for proving that it comes through.

Kept exactly: its table of pauses, when it thinks itself healthy, its limits of errors, and its rules for the cursor,
which is sent in the query. It ignores `retry:` and Retry-After, and clears its cursor on `backlog.truncated`.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.patience import patiently

PAUSES = (0, 1, 2, 4, 8, 16, 30)
PAUSE_AFTER_429 = 4
JITTER = 0.2
HEALTHY_SECONDS = 2.0
MOST_ERRORS = 20
MOST_REFUSED_TOKENS = 3


class DocsGptClient:
    """Connects until it is left, logged out or dark."""

    def __init__(self, address: str, token: str, *, cursor: str | None = None) -> None:
        self.address = address
        self.cursor = cursor
        self.events: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        """Of each attempt; 0: the network failed."""
        self.attempted: list[float] = []
        self.dark = False
        """20 errors in a row: it does nothing more until the page is loaded again."""
        self.logged_out = False
        self._token = token
        self._attempt = 0
        self._errors = 0
        self._refused_tokens = 0
        self._changed = asyncio.Event()
        self._connection: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "DocsGptClient":
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        results = await asyncio.gather(self._running, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    def cut(self) -> None:
        """The network breaks its connection."""
        if self._connection is not None:
            self._connection.cancel()

    async def until(self, holds: Callable[["DocsGptClient"], Any], *, within: float) -> None:
        """Returns when `holds` is true of it; raises AssertionError."""
        try:
            async with asyncio.timeout(patiently(within)):
                while not holds(self):
                    assert not self._running.done() or holds(self), f"it gave up: {self!r}"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"within {within:g} s only: {self!r}") from None

    def __repr__(self) -> str:
        return (
            f"<{len(self.events)} events, cursor {self.cursor}, statuses {self.statuses}, errors {self._errors}, "
            f"dark {self.dark}, last {self.events[-3:]}>"
        )

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=None)) as client:
            while not (self.dark or self.logged_out):
                pause = PAUSES[min(self._attempt, len(PAUSES) - 1)]
                await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))
                self.attempted.append(time.monotonic())
                self._connection = asyncio.create_task(self._connect(client))
                await asyncio.gather(self._connection, return_exceptions=True)
                if self._connection.cancelled() or isinstance(self._connection.exception(), httpx.TransportError):
                    self.statuses.append(0)
                    self._failed()
                elif error := self._connection.exception():
                    self._changed.set()
                    raise error
                self._changed.set()

    async def _connect(self, client: httpx.AsyncClient) -> None:
        query = {"last_event_id": self.cursor} if self.cursor else {}
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token}"}
        async with client.stream("GET", f"{self.address}/api/events", params=query, headers=headers) as response:
            self.statuses.append(response.status_code)
            if response.status_code != 200:
                self._refused(response.status_code)
                return
            self._refused_tokens = 0
            healthy = asyncio.get_running_loop().call_later(HEALTHY_SECONDS, self._healthy)
            try:
                await self._read(response)
            finally:
                healthy.cancel()
        self._failed()

    def _healthy(self) -> None:
        self._attempt = self._errors = 0
        self._changed.set()

    def _failed(self) -> None:
        """No answer, or the server closed the stream, were it in the best of order."""
        self._attempt = min(self._attempt + 1, len(PAUSES) - 1)
        self._count_error()

    def _refused(self, status: int) -> None:
        self._refused_tokens = self._refused_tokens + 1 if status == 401 else 0
        if self._refused_tokens >= MOST_REFUSED_TOKENS:
            self.logged_out = True
            return
        if status == 429:
            self._attempt = max(self._attempt, PAUSE_AFTER_429)
            self._count_error()
        else:
            self._failed()

    def _count_error(self) -> None:
        self._errors += 1
        self.dark = self._errors >= MOST_ERRORS

    async def _read(self, response: httpx.Response) -> None:
        rest = ""
        async for text in response.aiter_text():
            # Piece by piece, as it does: a CR at the end of one and an LF at the start of the next are two ends of line.
            rest = (rest + text).replace("\r\n", "\n").replace("\r", "\n")
            *records, rest = rest.split("\n\n")
            for record in records:
                self._take(record)
            self._changed.set()

    def _take(self, record: str) -> None:
        fields: dict[str, list[str]] = {}
        for line in record.split("\n"):
            if line and not line.startswith(":"):
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
        if "id" in fields:
            self.cursor = fields["id"][-1] or None
        try:
            event = json.loads("\n".join(fields.get("data", [])))
        except ValueError:
            return
        if not (isinstance(event, dict) and isinstance(event.get("type"), str)):
            return
        if fields.get("id", [""])[-1]:
            event.setdefault("id", fields["id"][-1])
        self._healthy()
        self.events.append(event)
        if event["type"] == "backlog.truncated":
            self.cursor = None
