"""What ends by itself in Redis unless its process keeps it alive: connection slots, who is where, and boards."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from events.broker.base import Admission, BaseBroker, Entry, Held, Here
from events.broker.scripts import (
    ADMIT,
    DUE,
    HERE,
    HOLD,
    KEEP_SLOTS,
    LET_GO,
    OWNERS,
    POST,
    RELEASE_SLOT,
    TABLE,
    TAKE_DOWN,
    TAKE_OUT,
    Call,
)
from events.conf import conf

CHUNK = 500
"""Most leases that one script handles: everybody else waits for it."""

DUE_PLACES = 100
"""Most places that one sweep looks into."""

Part = tuple[str, dict[int, Entry]]
"""A place, and entries of it by their number."""


class RedisLeases(BaseBroker):
    """The part of the broker on Redis that needs nothing but scripts."""

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """The answers of scripts, all sent in one round trip."""
        raise NotImplementedError

    def _slots_key(self, name: str) -> str:
        return f"{conf.EVENTS_KEY_PREFIX}:{{slots:{name}}}"

    async def admit(self, name: str, member: str, *, slots: int, seconds: float, replays: int, window: float) -> Admission:
        """See `BaseBroker`."""
        keys = [self._slots_key(name), f"{self._slots_key(name)}:replays"]
        [answer] = await self._run([(ADMIT, keys, [member, slots, int(seconds * 1000), replays, int(window * 1000)])])
        return Admission(used_up=answer[1].decode(), wait=answer[0] / 1000)

    async def keep_slots(self, members: Mapping[str, Sequence[str]], *, seconds: float) -> None:
        """See `BaseBroker`."""
        calls = [(KEEP_SLOTS, [self._slots_key(name)], [int(seconds * 1000), *each]) for name, each in members.items()]
        if calls:
            await self._run(calls)

    async def release_slot(self, name: str, member: str) -> None:
        """See `BaseBroker`."""
        await self._run([(RELEASE_SLOT, [self._slots_key(name)], [member])])

    def _place_keys(self, place: str) -> list[str]:
        # All in one slot of a Redis Cluster: each script also notes when its place is to be looked at next.
        prefix = f"{conf.EVENTS_KEY_PREFIX}:{{presence}}"
        return [f"{prefix}:leases:{place}", f"{prefix}:users:{place}", f"{prefix}:places"]

    async def hold(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> Held:
        """See `BaseBroker`."""
        if not entries:
            return Held([], epoch)
        parts = list(_by_place(entries))
        answers = await self._run([self._entry_call(HOLD, part, seconds, epoch) for part in parts])
        # The last one's epoch: what came before it was held under this one or an older one.
        return Held(_in_order(parts, [answer[1:] for answer in answers]), answers[-1][0].decode())

    async def let_go(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> list[bool]:
        """See `BaseBroker`."""
        if not entries:
            return []
        parts = list(_by_place(entries))
        return _in_order(parts, await self._run([self._entry_call(LET_GO, part, seconds, epoch) for part in parts]))

    def _entry_call(self, script: str, part: Part, seconds: float, epoch: str) -> Call:
        place, entries = part
        prefix = f"{conf.EVENTS_KEY_PREFIX}:{{presence}}"
        keys = [*self._place_keys(place), f"{prefix}:epoch", f"{prefix}:settling"]
        return script, keys, [place, int(seconds * 1000), epoch, *map(_lease, entries.values())]

    async def take_out(self) -> list[tuple[str, str]]:
        """See `BaseBroker`."""
        [due] = await self._run([(DUE, self._place_keys("")[2:], [DUE_PLACES])])
        places = [each.decode() for each in due]
        if not places:
            return []
        answers = await self._run([(TAKE_OUT, self._place_keys(place), [place, CHUNK]) for place in places])
        return [(place, user.decode()) for place, users in zip(places, answers, strict=True) for user in users]

    async def here(self, place: str, *, limit: int) -> Here:
        """See `BaseBroker`."""
        [(count, users)] = await self._run([(HERE, self._place_keys(place)[1:2], [limit])])
        return Here(count, sorted(user.decode() for user in users))

    def _board_keys(self, owner: str, tables: Iterable[str]) -> list[str]:
        prefix = f"{conf.EVENTS_KEY_PREFIX}:{{boards}}"
        return [prefix, *(f"{prefix}:{owner}:{table}" for table in tables)]

    async def post(self, owner: str, tables: Mapping[str, Mapping[str, str | None]], *, seconds: float, whole: bool) -> bool:
        """See `BaseBroker`."""
        args: list[Any] = [owner, int(seconds * 1000), int(whole)]
        for fields in tables.values():
            kept = [part for pair in fields.items() if pair[1] is not None for part in pair]
            removed = [name for name, value in fields.items() if value is None]
            args += [len(kept) // 2, *kept, len(removed), *removed]
        [answer] = await self._run([(POST, self._board_keys(owner, tables), args)])
        return bool(answer)

    async def boards(self, tables: Sequence[str]) -> dict[str, list[dict[str, str]]]:
        """See `BaseBroker`."""
        [answer] = await self._run([(OWNERS, self._board_keys("", []), [])])
        owners = [each.decode() for each in answer]
        calls: list[Call] = [(TABLE, [key], []) for owner in owners for key in self._board_keys(owner, tables)[1:]]
        found = iter([_fields(answer) for answer in (await self._run(calls) if calls else [])])
        return {owner: [next(found) for _ in tables] for owner in owners}

    async def take_down(self, owner: str, tables: Sequence[str]) -> None:
        """See `BaseBroker`."""
        await self._run([(TAKE_DOWN, self._board_keys(owner, tables), [owner])])


def _lease(entry: Entry) -> str:
    return f"{entry.connection_id} {entry.user_id}"


def _by_place(entries: Sequence[Entry]) -> Iterator[Part]:
    """At most CHUNK entries of one place at a time, by their number."""
    places: dict[str, dict[int, Entry]] = defaultdict(dict)
    for number, entry in enumerate(entries):
        part = places[entry.place]
        part[number] = entry
        if len(part) >= CHUNK:
            yield entry.place, places.pop(entry.place)
    yield from places.items()


def _in_order(parts: list[Part], answers: list[list[int]]) -> list[bool]:
    """The answers of the parts, in the order of the entries."""
    found = {
        number: bool(flag)
        for (_, part), flags in zip(parts, answers, strict=True)
        for number, flag in zip(part, flags, strict=True)
    }
    return [found[number] for number in range(len(found))]


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
