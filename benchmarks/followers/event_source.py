"""Many EventSources: `python -m benchmarks.followers.event_source URL COUNT GAP [HEADER: VALUE]...`.

As browsers have it (HTML standard, "Server-sent events"): after a lost connection again in 3 s (Chromium's time), or what
`retry:` said, with `Last-Event-ID`, for ever. GAP is the name, or the `type` in the data, of the event that tells of a gap.
"""

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import httpx

from benchmarks.followers.telling import Teller

RETRY_SECONDS = 3.0


@dataclass
class EventSource:
    """The state of one, over all its connections."""

    retry: float = RETRY_SECONDS
    last_id: str = ""
    _id: str = ""
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """A new connection: what was half received is forgotten."""
        self._id, self._name, self._data = self.last_id, "", []

    def take(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The name and the data of each event that these lines complete."""
        for line in lines:
            if line:
                self._take(line)
                continue
            self.last_id = self._id
            if self._data:
                yield self._name, "\n".join(self._data)
            self._name, self._data = "", []

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "id":
                self._id = value
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "retry" if value.isdigit():
                self.retry = int(value) / 1000


async def follow(who: int, url: str, gap: str, headers: dict[str, str]) -> None:
    """Follows for ever."""
    source, teller = EventSource(), Teller(who)
    async with httpx.AsyncClient(timeout=None) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await _connect(client, source, teller, url=url, gap=gap, headers=headers)
            await asyncio.sleep(source.retry)


async def _connect(
    client: httpx.AsyncClient, source: EventSource, teller: Teller, *, url: str, gap: str, headers: dict[str, str]
) -> None:
    since = {"Last-Event-ID": source.last_id} if source.last_id else {}
    async with client.stream("GET", url, headers={"Accept": "text/event-stream", **headers, **since}) as response:
        if response.status_code != 200:
            print(f"{url}: {response.status_code} {(await response.aread())[:500]!r}", file=sys.stderr)
            return
        source.begin()
        rest, is_open = b"", False
        async for data in response.aiter_raw():
            if not is_open:
                teller.opened()
                is_open = True
            *lines, rest = (rest + data).split(b"\n")
            for name, text in source.take(line.decode().removesuffix("\r") for line in lines):
                if name == gap or f'"type":"{gap}"' in text:
                    teller.missed()
                else:
                    teller.received(text)


async def main(url: str, count: str, gap: str, *headers: str) -> None:
    pairs = dict(header.split(": ", 1) for header in headers)
    await asyncio.gather(*(follow(who, url, gap, pairs) for who in range(int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
