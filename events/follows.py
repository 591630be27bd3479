"""The streams that one socket tells: a pump each, from the log to the reader, at the reader's pace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from events.event import to_json
from events.feed import Feed
from events.frames import Frame
from events.outlet import Outlet
from events.ring import Batch, Render
from events.works import Works

logger = logging.getLogger(__name__)

Truncated = Callable[[Batch], Frame]
"""The frame that says that events before this batch are missing."""

Done = Callable[[], Awaitable[None]]
"""Awaited after the last event of a stream that ends."""


class Follows:
    """The pumps of one connection, by key."""

    def __init__(self, outlet: Outlet, works: Works) -> None:
        self._outlet = outlet
        self._works = works
        self._pumps: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._pumps)

    def begin(self, key: str, feed: Feed, *, render: Render, truncated: Truncated | None, done: Done | None) -> None:
        """Tells all of a feed; a key that is in use is replaced."""
        self.end(key)
        pump = self._pump(key, feed, render, truncated, done)
        self._pumps[key] = self._works.start(pump, name=f"socket follows {feed.stream.name}")

    def end(self, key: str) -> None:
        """Tells no more of it; nothing when there is none."""
        pump = self._pumps.pop(key, None)
        if pump is not None:
            pump.cancel()

    async def _pump(self, key: str, feed: Feed, render: Render, truncated: Truncated | None, done: Done | None) -> None:
        try:
            async with feed:
                while (batch := await feed.next()) is not None:
                    if batch.reason and truncated is not None:
                        await self._outlet.write(to_json(truncated(batch)))
                    await self._outlet.write(*batch.texts(render))
                    if batch.terminal and done is not None:
                        await done()
        except Exception:
            # Without this stream the reader would wait for what never comes; closed, it comes back with its cursor.
            logger.exception("A socket could not follow %s.", feed.stream.name)
            await self._outlet.close(1011, "This failed; it was logged")
        finally:
            if self._pumps.get(key) is asyncio.current_task():
                del self._pumps[key]
