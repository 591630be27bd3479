"""The streams of organisations whose topics somebody in this process subscribed to: each event is read and matched once."""

import asyncio
import logging
from typing import Protocol

from events.conf import conf
from events.event import START, EventId
from events.feed import Feed
from events.hub import RETRY_SECONDS, Hub
from events.ring import Batch
from events.streams import Stream
from events.topics.event import TopicEvent
from events.topics.grammar import Pattern, Trie

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """One connection, as the watch of an organisation knows it."""

    def give(self, event: TopicEvent) -> None:
        """Takes an event that matches, without waiting."""

    def pass_by(self, seen: int) -> None:
        """Learns that the watch has seen so many events, whether they matched or not; told now and then."""

    def wake(self) -> None:
        """Looks again: the stream is not what it was."""


class TopicWatch:
    """One organisation. Everything after `head` that matches is given to its listeners, until `generation` changes."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self.hub = hub
        self.stream = stream
        self.head = START
        self.generation = 0
        """Changes when the stream was wiped or restored: listeners must ask the log, each from its own place."""
        self.seen = 0
        self.listeners: set[Listener] = set()
        self._trie: Trie[Listener] = Trie()
        self.ready = asyncio.create_task(self._begin(), name=f"topics of {stream.id}: head")
        self._task: asyncio.Task[None] | None = None

    def add(self, pattern: Pattern, listener: Listener) -> None:
        """From the next event on, what matches is given to the listener."""
        self._trie.add(pattern, listener)

    def remove(self, pattern: Pattern, listener: Listener) -> None:
        """Undoes `add`."""
        self._trie.remove(pattern, listener)

    async def stop(self) -> None:
        """Reads no more."""
        tasks = [task for task in (self.ready, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self) -> None:
        self.head = (await self.hub.log.heads([self.stream]))[self.stream].id
        self._task = asyncio.create_task(self._follow(), name=f"topics of {self.stream.id}")

    async def _follow(self) -> None:
        while not self.hub.closing:
            try:
                async with Feed(hub=self.hub, stream=self.stream, cursor=self.head) as feed:
                    while (batch := await feed.next()) is not None:
                        self._take(batch, feed.cursor)
            except Exception:
                # A mistake of ours in one event must not end all subscriptions; each reads on from the log.
                logger.exception("The topics of %s could not be followed.", self.stream.id)
                self._change(self.head)
                await asyncio.sleep(RETRY_SECONDS)

    def _take(self, batch: Batch, cursor: EventId) -> None:
        if batch.reason:
            self._change(cursor)
            return
        before = self.seen
        for entry in batch.events:
            event = TopicEvent.read(entry)
            self.head = entry.id
            self.seen += 1
            if event is not None:
                for listener in self._trie.match(event.topic):
                    listener.give(event)
        if self.seen // conf.TOPIC_CURSOR_EVENTS > before // conf.TOPIC_CURSOR_EVENTS:
            for listener in self.listeners:
                listener.pass_by(self.seen)

    def _change(self, head: EventId) -> None:
        self.head = head
        self.generation += 1
        for listener in self.listeners:
            listener.wake()


class TopicWatches:
    """The watches of one event loop: made for the first listener of an organisation, ended with the last."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._watches: dict[Stream, TopicWatch] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def join(self, stream: Stream, listener: Listener) -> TopicWatch:
        """The watch of a stream, which knows its head, with one listener more. Raises `BrokerUnavailable`."""
        watch = self._watches.get(stream)
        if watch is None:
            watch = self._watches[stream] = TopicWatch(self._hub, stream)
        watch.listeners.add(listener)
        try:
            # Shielded: one who leaves meanwhile must not take the head from the others.
            await asyncio.shield(watch.ready)
        except BaseException:
            self.leave(watch, listener)
            raise
        return watch

    def leave(self, watch: TopicWatch, listener: Listener) -> None:
        """Takes a listener away."""
        watch.listeners.discard(listener)
        if not watch.listeners and self._watches.get(watch.stream) is watch:
            del self._watches[watch.stream]
            ending = asyncio.create_task(watch.stop(), name=f"topics of {watch.stream.id}: end")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Ends them all, with the hub."""
        watches, self._watches = list(self._watches.values()), {}
        await asyncio.gather(*(watch.stop() for watch in watches), *self._ending)


def topic_watches(hub: Hub) -> TopicWatches:
    """Those of a hub."""
    return hub.part(TopicWatches)
