"""An EventSource as the HTML standard has it (Server-sent events, section 9.2): `retry:`, `Last-Event-ID`, 204 is the end.

Where a browser's gives up - any other status - the page makes a new one, with the cursor, after `Retry-After`: so does this.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import httpx

from tests.faults.clients.calls import Person
from tests.live.readers import Frame, SseParser

SILENCE_SECONDS = 12.0
"""A page notices a line that says nothing for so long: many keep-alives."""
LONGEST_WAIT = 2.0


class _Parser(SseParser):
    """That of the readers, which also hears `retry:`."""

    retry_ms = 3000

    def _take(self, line: str) -> Frame | None:
        if line.startswith("retry:") and line[6:].strip().isdigit():
            self.retry_ms = int(line[6:])
        return super()._take(line)


class EventSource:
    """Reads `path` until `take` says of a frame that it was the last, or the server does (204)."""

    def __init__(
        self,
        fronts: Sequence[str],
        person: Person,
        path: str,
        *,
        take: Callable[[Frame], bool],
        chance: random.Random,
        cursor: str = "",
    ) -> None:
        self.connections = 0
        self.over = False
        self._fronts = fronts
        self._person = person
        self._path = path
        self._take = take
        self._chance = chance
        self._cursor = cursor
        self._parser = _Parser()

    async def run(self) -> None:
        """To the end, over as many connections as it takes."""
        async with httpx.AsyncClient(timeout=httpx.Timeout(8.0, read=SILENCE_SECONDS)) as client:
            while not self.over:
                try:
                    wait = await self._connect(client)
                except httpx.TransportError:
                    wait = self._parser.retry_ms / 1000
                await asyncio.sleep(min(wait, LONGEST_WAIT) * self._chance.uniform(0.5, 1.0))

    async def _connect(self, client: httpx.AsyncClient) -> float:
        """One connection; how long to wait before the next, in seconds."""
        headers = self._person.headers | ({"Last-Event-ID": self._cursor} if self._cursor else {})
        async with client.stream("GET", self._chance.choice(self._fronts) + self._path, headers=headers) as response:
            if response.status_code == 204:
                self.over = True
            if response.status_code != 200:
                return float(response.headers.get("Retry-After", "1"))
            self.connections += 1
            self._parser = _Parser()
            async for data in response.aiter_raw():
                for frame in self._parser.feed(data):
                    self._cursor = frame.id or self._cursor
                    if self._take(frame):
                        self.over = True
                        return 0.0
        return self._parser.retry_ms / 1000
