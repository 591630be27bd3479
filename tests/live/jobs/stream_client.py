"""A client of seed 003 as independent ones are written: what it takes for granted, a server had better do.

Its sequence is the number of the SSE `id:`, or one more for a frame without; it honours `retry:`; any `error` event is the
end; 404 makes it poll. An answer of 200 that ends without a last event lets it begin to count its attempts anew.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

MOST_ATTEMPTS = 5
TERMINAL_NAMES = {"final", "complete", "error", "failed"}
TERMINAL_STATUSES = {"completed", "succeeded", "failed", "cancelled"}


@dataclass
class StreamClient:
    """Follows one job. `cut_after` says after which frame the network breaks (once for each number)."""

    addresses: list[str]
    session: str
    job_id: str
    headers: dict[str, str]
    cut_after: Callable[[int], bool] = lambda count: False
    on_frame: Callable[[str, dict[str, Any]], Any] = lambda name, data: None
    resume_by: str = "last_sequence"
    frames: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    sequence: int = 0
    retry_ms: int = 3000
    connections: int = 0
    polled: dict[str, Any] | None = None

    async def run(self) -> None:
        """To the end of the job."""
        attempts = 0
        while attempts < MOST_ATTEMPTS:
            async with httpx.AsyncClient(timeout=30) as client:
                address = self.addresses[self.connections % len(self.addresses)]
                self.connections += 1
                async with client.stream("GET", self._url(address), headers=self._headers()) as response:
                    if response.status_code == 404:
                        return await self._poll(client, address)
                    assert response.status_code == 200, await response.aread()
                    attempts = 0
                    if await self._read(response):
                        return None
            attempts += 1
            await asyncio.sleep(min(self.retry_ms / 1000, 0.05))
        raise AssertionError(f"gave up; so far {self.frames}")

    def _url(self, address: str) -> str:
        more = f"&last_sequence={self.sequence}" if self.resume_by == "last_sequence" else ""
        return f"{address}/v1/chat/{self.session}/stream?job_id={self.job_id}{more}"

    def _headers(self) -> dict[str, str]:
        if self.resume_by == "Last-Event-ID" and self.sequence:
            return self.headers | {"Last-Event-ID": str(self.sequence)}
        return self.headers

    async def _read(self, response: httpx.Response) -> bool:
        """Whether the job is over; False when the connection was cut."""
        async for name, id_, data in self._frames(response):
            self.sequence = int(id_) if id_ is not None else self.sequence + 1
            self.frames.append((name, self.sequence, data))
            result = self.on_frame(name, data)
            if asyncio.iscoroutine(result):
                await result
            if name == "error":
                return True
            if name in TERMINAL_NAMES or data.get("status") in TERMINAL_STATUSES:
                return True
            if self.cut_after(len(self.frames)):
                return False
        raise AssertionError(f"the stream ended with {self.frames[-1:]}, without a last event")

    async def _frames(self, response: httpx.Response) -> AsyncIterator[tuple[str, str | None, dict[str, Any]]]:
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line.startswith("retry: "):
                self.retry_ms = int(line[7:])
            elif line.startswith(":"):
                continue
            elif line:
                name, _, value = line.partition(": ")
                assert name not in fields, "more than one line of data in a frame"
                fields[name] = value
            elif fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}

    async def _poll(self, client: httpx.AsyncClient, address: str) -> None:
        while True:
            state = (await client.get(f"{address}/v1/jobs/{self.job_id}", headers=self.headers)).json()
            if state["status"] in TERMINAL_STATUSES:
                self.polled = state
                return
            await asyncio.sleep(0.05)
