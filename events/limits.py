"""How many feeds and sockets one user may have open, and how often one may have a backlog replayed."""

import asyncio
import logging
import secrets
from collections import defaultdict

from events.broker.base import BaseBroker
from events.conf import conf
from events.exceptions import BrokerUnavailable, TooMany

logger = logging.getLogger(__name__)

MESSAGES = {
    "concurrent": "Too many concurrent SSE connections. Close one, or try again when Retry-After is over.",
    "sockets": "Too many open WebSockets of this user. Close one first.",
    "replays": "Replay budget exhausted. Keep your cursor and try again when Retry-After is over.",
}


class Slots:
    """The connection slots that this process holds.

    Each is a lease in the broker: given back at once when its connection ends, and free by itself
    EVENTS_SLOT_SECONDS after its process died.
    """

    def __init__(self, broker: BaseBroker) -> None:
        self._broker = broker
        self._held: dict[str, set[str]] = defaultdict(set)

    async def take(self, user_id: str, *, replays: bool) -> "Slot":
        """One more connection of a user, counted as a replay too if it is one. Raises `TooMany`, `BrokerUnavailable`."""
        member = secrets.token_hex(8)
        admission = await self._broker.admit(
            user_id,
            member,
            slots=conf.SSE_MAX_CONCURRENT_PER_USER,
            seconds=conf.EVENTS_SLOT_SECONDS,
            replays=conf.EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW if replays else 0,
            window=conf.EVENTS_REPLAY_BUDGET_WINDOW_SECONDS,
        )
        if admission.used_up:
            raise TooMany(MESSAGES[admission.used_up], retry_after=admission.wait)
        self._held[user_id].add(member)
        return Slot(self, user_id, member)

    async def take_socket(self, user_id: str) -> "Slot":
        """One more WebSocket of a user, counted apart from its event streams. Raises `TooMany`, `BrokerUnavailable`."""
        name, member = f"{user_id}:sockets", secrets.token_hex(8)
        admission = await self._broker.admit(
            name, member, slots=conf.SOCKETS_PER_USER, seconds=conf.EVENTS_SLOT_SECONDS, replays=0, window=1
        )
        if admission.used_up:
            raise TooMany(MESSAGES["sockets"], retry_after=admission.wait)
        self._held[name].add(member)
        return Slot(self, name, member)

    async def give_back(self, slot: "Slot") -> None:
        """Frees a slot."""
        held = self._held[slot.user_id]
        held.discard(slot.member)
        if not held:
            del self._held[slot.user_id]
        try:
            await self._broker.release_slot(slot.user_id, slot.member)
        except BrokerUnavailable:
            logger.warning("A slot of %s could not be given back; it ends by itself.", slot.user_id)

    async def keep_forever(self) -> None:
        """Keeps the leases of open connections alive."""
        while True:
            await asyncio.sleep(conf.EVENTS_SLOT_SECONDS / 3)
            try:
                members = {name: list(held) for name, held in self._held.items()}
                await self._broker.keep_slots(members, seconds=conf.EVENTS_SLOT_SECONDS)
            except BrokerUnavailable:
                logger.warning("Connection slots could not be kept alive: the broker is away.")


class Slot:
    """One open connection of one user."""

    def __init__(self, slots: Slots, user_id: str, member: str) -> None:
        self.user_id = user_id
        self.member = member
        self._slots = slots

    async def give_back(self) -> None:
        """Frees it, once."""
        await self._slots.give_back(self)
