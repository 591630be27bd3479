"""One who reads topics over a connection that is cut now and then."""

import asyncio
import json

from events.topics.reader import TopicReader
from tests.patience import patiently


class Reader:
    """A client that keeps its topics and its cursor, and nothing else."""

    def __init__(self, hub, caller):
        self._made = lambda: TopicReader(hub, caller)
        self._reader = self._made()
        self.topics = []
        self.cursor = ""
        self.numbers = []
        self.told = []

    async def add(self, *patterns, since=""):
        self.topics += patterns
        async with self._reader.turn:
            in_force, refusals, _ = await self._reader.subscribe(patterns, since=since)
            assert (in_force, refusals) == (list(patterns), [])
            self.cursor = self._reader.cursor

    async def hear(self, most=1000):
        """What is there now, of which it takes `most` frames; whether there was more, which is lost on the way."""
        self._reader.look_by = 0.0
        told = await self._reader.next()
        for each in told[:most]:
            frame = json.loads(each.text)
            self.told.append(frame)
            self.cursor = each.cursor or self.cursor
            if frame["type"] == "event":
                self.numbers.append(frame["event"]["payload"].get("n"))
        self._reader.has_told()
        return len(told) > most

    async def cut(self):
        """Comes back with all its topics in one frame, as the document says."""
        await self._reader.close()
        self._reader = self._made()
        known, self.topics = self.topics, []
        await self.add(*known, since=self.cursor)

    async def until(self, true):
        async with asyncio.timeout(patiently(30)):
            while not true():
                await self.hear()
                await asyncio.sleep(0.01)

    def of(self, kind):
        return [frame for frame in self.told if frame["type"] == kind]

    async def close(self):
        await self._reader.close()
