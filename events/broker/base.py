"""What a broker is: the hot log, its doorbells, and small leases."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum

from events.event import Event, EventId
from events.streams import Stream


class Appended(StrEnum):
    """What became of a durable append."""

    OK = "ok"
    STALE = "stale"
    """A newer lease number exists: this writer must stop."""
    LOST = "lost"
    """The broker no longer holds this stream whole (wiped, restored): fence and seed it again."""


@dataclass(frozen=True, slots=True)
class DurableAppend:
    """Events with consecutive ids for one durable stream, and the writer's lease number."""

    stream: Stream
    lease: int
    events: Sequence[Event]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read found after a cursor.

    `continuous` is False when events between the cursor and the first of `events` may be
    missing from the broker; for a backlog `events` then starts at the oldest retained one,
    and `reason` says why (trimmed, expired, unknown_cursor). `exists`: the broker holds the stream.
    """

    events: list[Event]
    continuous: bool = True
    exists: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OnceAppend:
    """A packed event for a backlog stream that is appended only if no event with its `key` was within `remember` seconds."""

    stream: Stream
    packed: str
    key: str
    remember: int


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether one more connection may open: yes, or what is used up (concurrent, replays) and how long to wait, in seconds."""

    used_up: str = ""
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """That one connection of a user is in a place."""

    place: str
    user_id: str
    connection_id: str


@dataclass(frozen=True, slots=True)
class Held:
    """What holding entries found: for each, whether its user was not in the place before.

    `epoch` changes when the broker has forgotten everything: who was not there under the same epoch was
    taken out in between, who was not there under another one was only forgotten.
    """

    new: list[bool]
    epoch: str


@dataclass(frozen=True, slots=True)
class Here:
    """Who is in a place: how many users, and their ids (some of them, where there are more than were asked for)."""

    count: int
    user_ids: list[str]


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """What a broker says of itself.

    `needs` says which version is needed when it is too old, else it is empty; `appends`: every write is
    kept in a file; `write_errors` names what of it failed last; `most_bytes` 0: no limit.
    """

    name: str
    version: str
    needs: str
    appends: bool
    write_errors: list[str]
    loading: bool
    eviction: str
    used_bytes: int
    most_bytes: int


class DoorbellListener:
    """A subscription to doorbells of streams; iterate it for the names that rang.

    Ends with `BrokerUnavailable` when the connection is lost. A name is also given once after
    its `add` came into force, so that whatever happened before is read.
    """

    async def add(self, stream: Stream) -> None:
        """Listens for this stream too."""
        raise NotImplementedError

    async def remove(self, stream: Stream) -> None:
        """Listens for this stream no more."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[str]:
        raise NotImplementedError


class BaseBroker:
    """The hot log. Every method raises `BrokerUnavailable` when the broker cannot be reached."""

    async def append_durable(self, appends: Sequence[DurableAppend]) -> list[Appended]:
        """Appends to durable streams in one round trip and rings their bells; already held ids are skipped."""
        raise NotImplementedError

    async def fence(self, stream: Stream, lease: int) -> EventId | None:
        """Refuses every lease below `lease` from now on; the stream's head, or None when `lease` is itself stale."""
        raise NotImplementedError

    async def seed(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """Replaces what the broker holds of a fenced durable stream by `events` (from id 1 on)."""
        raise NotImplementedError

    def append_durable_now(self, append: DurableAppend) -> Appended:
        """Fences and appends for synchronous code, in one round trip; see `events/batches.py`."""
        raise NotImplementedError

    def seed_now(self, stream: Stream, lease: int, events: Sequence[Event]) -> Appended:
        """`seed` for synchronous code; readers may see a shorter stream in between, so the journal must hold it all."""
        raise NotImplementedError

    async def append(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """Appends packed events to backlog streams in one round trip; the ids they were given."""
        raise NotImplementedError

    def append_now(self, items: Sequence[tuple[Stream, str]]) -> list[EventId]:
        """`append` for synchronous code."""
        raise NotImplementedError

    async def append_once(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """Appends each unless its key is known; the id it has been given, now or then."""
        raise NotImplementedError

    def append_once_now(self, items: Sequence[OnceAppend]) -> list[EventId]:
        """`append_once` for synchronous code."""
        raise NotImplementedError

    async def read(self, cursors: Sequence[tuple[Stream, EventId]], *, limit: int) -> list[Reading]:
        """At most `limit` events after each cursor, in one round trip."""
        raise NotImplementedError

    async def heads(self, streams: Sequence[Stream]) -> list[EventId]:
        """The last id ever given out in each stream; `START` for unknown ones."""
        raise NotImplementedError

    def doorbells(self) -> AbstractAsyncContextManager[DoorbellListener]:
        """A listener on its own connection."""
        raise NotImplementedError

    async def touch(self, name: str, *, seconds: float) -> None:
        """Keeps a lease called `name` alive for so long."""
        raise NotImplementedError

    async def alive(self, names: Sequence[str]) -> list[bool]:
        """Which leases are alive."""
        raise NotImplementedError

    async def admit(self, name: str, member: str, *, slots: int, seconds: float, replays: int, window: float) -> Admission:
        """Takes one of `slots` (0: any number) of `name` for `member`, for so many seconds, unless all are taken.

        With `replays` > 0 also counts one replay, at most so many within the last `window` seconds.
        """
        raise NotImplementedError

    async def keep_slots(self, members: Mapping[str, Sequence[str]], *, seconds: float) -> None:
        """Keeps taken slots alive: members by name."""
        raise NotImplementedError

    async def release_slot(self, name: str, member: str) -> None:
        """Gives a slot back at once."""
        raise NotImplementedError

    async def hold(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> Held:
        """Puts entries in their places for so many seconds from now, again or for the first time.

        `epoch` is the one that the caller was told last, empty at first.
        """
        raise NotImplementedError

    async def let_go(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> list[bool]:
        """Takes entries away; for each, whether its user has left the place with it. False for one that was not there.

        After the broker has forgotten everything, the entries are rather left to run out after `seconds`, and all
        answers are False: others may not have said yet that a user is still there.
        """
        raise NotImplementedError

    async def take_out(self) -> list[tuple[str, str]]:
        """Takes away entries that nobody held any longer: (place, user id) of those who left a place with that.

        Each is told to one caller only, whoever else asks at the same time. At most some hundreds a call.
        """
        raise NotImplementedError

    async def here(self, place: str, *, limit: int) -> Here:
        """Who is in a place, at most `limit` of them by name."""
        raise NotImplementedError

    async def post(self, owner: str, tables: Mapping[str, Mapping[str, str | None]], *, seconds: float, whole: bool) -> bool:
        """Sets fields (None: removes them) in the named tables of `owner`'s board, and keeps the board for so many seconds.

        `whole` replaces these tables. False, and nothing done: the board has run out or was forgotten, and is to
        be written whole.
        """
        raise NotImplementedError

    async def boards(self, tables: Sequence[str]) -> dict[str, list[dict[str, str]]]:
        """These tables of every board that is kept, by owner."""
        raise NotImplementedError

    async def take_down(self, owner: str, tables: Sequence[str]) -> None:
        """Removes a board, of these tables, at once."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Returns when the broker answers."""
        raise NotImplementedError

    async def facts(self) -> BrokerFacts:
        """What it is and how it is set up."""
        raise NotImplementedError

    async def close(self) -> None:
        """Lets go of connections."""
        raise NotImplementedError
