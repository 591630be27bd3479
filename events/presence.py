"""Who is where: a user is in a place (a workspace, a chat session) as long as one of his connections is.

Each connection's entry is a lease in the broker. This process holds all of its own in one batch, five times in
PRESENCE_SECONDS; those of a process that died run out, and whichever process notices first says that the users left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from prometheus_client import Gauge

from events.broker.base import Entry, Here
from events.conf import conf
from events.exceptions import BrokerUnavailable
from events.hub import Hub, current_hub
from events.metrics import PRESENCE_ENTRIES

logger = logging.getLogger(__name__)

PER_LEASE = 5
"""How often entries are refreshed while a lease lasts."""

RETRY_SECONDS = 1.0
"""Pause before a broker that is away is asked again."""

Announce = Callable[[str, str], Awaitable[None]]
"""Says something of a place and a user: `await announce(place, user_id)`."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What one finds in a place: whether it is the user's first connection there, who is there (at most
    PRESENCE_HERE_MAX users, oneself included), and how many there are."""

    first: bool
    here: list[str]
    count: int


class Presence:
    """The presence of one event loop's connections, in places named `kind:id`."""

    _left: ClassVar[dict[str, Announce]] = {}
    _returned: ClassVar[dict[str, Announce]] = {}

    def __init__(self, hub: Hub) -> None:
        self._broker = hub.broker
        self._held: set[Entry] = set()
        self._owed: set[Entry] = set()
        """Entries that are to be let go, but the broker could not be told, or did not say whether it heard."""
        self._epoch = ""
        self._settled = asyncio.Event()
        """Clear while a refresh is under way: what is let go meanwhile could be put back by it."""
        self._settled.set()
        self._news: asyncio.Queue[tuple[dict[str, Announce], str, str]] = asyncio.Queue()
        self._tasks = [
            asyncio.create_task(self._refresh_forever(), name="presence"),
            asyncio.create_task(self._announce_forever(), name="presence: announcements"),
        ]

    @staticmethod
    def on_left(kind: str, announce: Announce) -> None:
        """Has `announce` awaited, in one process, when a user is no longer in a place of this kind and no `leave` has said so."""
        Presence._left[kind] = announce

    @staticmethod
    def on_returned(kind: str, announce: Announce) -> None:
        """Has `announce` awaited, in one process, when a user who was said to have left is there after all.

        So it is with the users of a process that was cut off for longer than PRESENCE_SECONDS.
        """
        Presence._returned[kind] = announce

    async def join(self, *, place: str, user_id: str, connection_id: str) -> Joined:
        """Enters a place. Raises `BrokerUnavailable`: then nobody has entered."""
        entry = Entry(place, user_id, connection_id)
        try:
            held = await self._broker.hold([entry], seconds=conf.PRESENCE_SECONDS, epoch=self._epoch)
            here = await self.look(place)
        except BaseException:
            self._owed.add(entry)
            raise
        first = held.new[0] and not (held.epoch != self._epoch and self._knows(entry))
        self._epoch = self._epoch or held.epoch
        self._owed.discard(entry)
        self._held.add(entry)
        _entries_of(place).inc()
        return Joined(first, here.user_ids, here.count)

    def _knows(self, entry: Entry) -> bool:
        """Whether another connection of the user is in the place, whatever a broker says that has forgotten everybody."""
        return any((each.place, each.user_id) == (entry.place, entry.user_id) for each in self._held)

    async def leave(self, *, place: str, user_id: str, connection_id: str) -> bool:
        """Leaves a place; whether the user has left it with that.

        False also while the broker is away: what is left then is announced as by `on_left`, once it is back.
        """
        entry = Entry(place, user_id, connection_id)
        if entry not in self._held:
            return False
        self._held.discard(entry)
        _entries_of(place).dec()
        try:
            await self._settled.wait()
            [last] = await self._broker.let_go([entry], seconds=conf.PRESENCE_SECONDS, epoch=self._epoch)
        except BaseException as error:
            self._owed.add(entry)
            if isinstance(error, BrokerUnavailable):
                return False
            raise
        return last

    async def here(self, place: str) -> list[str]:
        """Ids of the users in a place, at most PRESENCE_HERE_MAX. Raises `BrokerUnavailable`."""
        return (await self.look(place)).user_ids

    async def look(self, place: str) -> Here:
        """`here`, with the number of all users. Raises `BrokerUnavailable`."""
        return await self._broker.here(place, limit=conf.PRESENCE_HERE_MAX)

    async def close(self) -> None:
        """Leaves everywhere: the process stops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self._held:
            _entries_of(entry.place).dec()
        self._owed |= self._held
        self._held.clear()
        try:
            self._tell(self._left, await self._let_go_owed())
        except BrokerUnavailable:
            logger.warning("Presence ends by itself: the broker is away.")
        while not self._news.empty():
            await _announce(*self._news.get_nowait())

    async def _refresh_forever(self) -> None:
        """Holds what is ours, then takes out what nobody holds.

        In this order: a process that stood still for long must not declare its own connections gone. After an
        outage the others get the time to hold theirs, too.
        """
        calm = 0
        while True:
            try:
                await self._refresh()
                calm += 1
                if calm > 1:
                    self._tell(self._left, await self._broker.take_out())
                pause = conf.PRESENCE_SECONDS / PER_LEASE
            except BrokerUnavailable:
                logger.warning("Presence waits: the broker is away.")
                calm, pause = 0, RETRY_SECONDS
            except Exception:
                logger.exception("Presence could not be refreshed.")
                calm, pause = 0, RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _refresh(self) -> None:
        self._settled.clear()
        try:
            entries = list(self._held)
            held = await self._broker.hold(entries, seconds=conf.PRESENCE_SECONDS, epoch=self._epoch)
        finally:
            self._settled.set()
        # Another epoch: the broker had forgotten everybody, and nobody was said to have left.
        returned = [entry for entry, new in zip(entries, held.new, strict=True) if new and held.epoch == self._epoch]
        self._epoch = held.epoch
        self._tell(self._returned, [(each.place, each.user_id) for each in returned if each in self._held])
        self._tell(self._left, await self._let_go_owed())

    async def _let_go_owed(self) -> list[tuple[str, str]]:
        """Those who have left with it."""
        entries = list(self._owed)
        last = await self._broker.let_go(entries, seconds=conf.PRESENCE_SECONDS, epoch=self._epoch)
        self._owed.difference_update(entries)
        return [(entry.place, entry.user_id) for entry, was_last in zip(entries, last, strict=True) if was_last]

    def _tell(self, announcers: dict[str, Announce], users: Sequence[tuple[str, str]]) -> None:
        """Has it announced in a task of its own: whoever announces slowly must not hold up the leases."""
        for place, user_id in users:
            self._news.put_nowait((announcers, place, user_id))

    async def _announce_forever(self) -> None:
        while True:
            await _announce(*await self._news.get())


on_left = Presence.on_left
on_returned = Presence.on_returned


def _kind(place: str) -> str:
    return place.partition(":")[0]


def _entries_of(place: str) -> Gauge:
    return PRESENCE_ENTRIES.labels(_kind(place))


async def _announce(announcers: dict[str, Announce], place: str, user_id: str) -> None:
    announce = announcers.get(_kind(place))
    try:
        if announce is not None:
            await announce(place, user_id)
    except Exception:
        # The others must hear of theirs nevertheless.
        logger.exception("It could not be said that %s left %s or came back.", user_id, place)


def current_presence() -> Presence:
    """The presence of the running event loop, started at its first use; it ends with the hub."""
    return current_hub().part(Presence)
