"""The ephemeral plane: frames to all connections of a group, at most once, by Channels' layer.

A stock consumer has a subscription of its own and decodes every message itself. Here a process has one, and what
arrives is text that all its connections send as it is. What may not be lost never comes here: it goes into the log.
"""

import asyncio
import logging
from collections import defaultdict
from typing import Any, Protocol

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""How long the layer may take; its lock is shared, so that one call that hangs would hold up all."""

RETRY_SECONDS = 1.0
"""Pause before the layer is asked again for a group that it could not be asked for."""


class Member(Protocol):
    """One connection, as a group knows it."""

    connection_id: str

    def offer(self, text: str) -> None:
        """Takes a frame without waiting; may drop it."""


class Groups:
    """Which connections of this process are in which group; one subscription for all of them."""

    def __init__(self) -> None:
        self._members: dict[str, set[Member]] = defaultdict(set)
        self._subscribed: set[str] = set()
        self._lock = asyncio.Lock()
        self._channel = ""
        self._receiver: asyncio.Task[None] | None = None
        self._retry: asyncio.Task[None] | None = None

    async def join(self, group: str, member: Member) -> None:
        """Adds a connection. When this returns the group is heard, unless the layer is away: then from when it is back."""
        self._members[group].add(member)
        await self._settle(group)

    async def leave(self, group: str, member: Member) -> None:
        """Takes a connection away."""
        members = self._members.get(group)
        if members is None:
            return
        members.discard(member)
        if not members:
            del self._members[group]
            await self._settle(group)

    async def send(self, group: str, text: str, *, but: str = "") -> None:
        """One frame to all members in all processes, except the connection `but`. Lost while the layer is away."""
        message = {"group": group, "text": text, "but": but}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                try:
                    await _layer().group_send(_on_the_layer(group), message)
                except Exception:
                    # Once more: that a broker which was restarted has closed the connection is only found out by using it.
                    await _layer().group_send(_on_the_layer(group), message)
        except Exception as error:
            # Any backend's own errors. What travels here may be lost by definition, so nobody else is told.
            logger.warning("A frame for the group %s is lost: %s", group, error or type(error).__name__)

    async def close(self) -> None:
        """Lets go of the layer."""
        tasks = [task for task in (self._receiver, self._retry) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, group: str) -> None:
        """Subscribes to a group that has members, and unsubscribes from one that has none."""
        try:
            async with self._lock, asyncio.timeout(ANSWER_SECONDS):
                await self._subscribe(group)
        except Exception as error:
            logger.warning("The group %s cannot be heard: %s", group, error or type(error).__name__)
            if self._retry is None or self._retry.done():
                self._retry = asyncio.create_task(self._settle_later(), name="groups retry")

    async def _subscribe(self, group: str) -> None:
        # Asked under the lock: members may have come and gone while another one had it.
        wanted = group in self._members
        if wanted == (group in self._subscribed):
            return
        if not self._channel:
            self._channel = await _layer().new_channel()
        if self._receiver is None:
            self._receiver = asyncio.create_task(self._receive_forever(), name="groups")
        if wanted:
            await _layer().group_add(_on_the_layer(group), self._channel)
            self._subscribed.add(group)
        else:
            await _layer().group_discard(_on_the_layer(group), self._channel)
            self._subscribed.discard(group)

    async def _settle_later(self) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self._retry = None
        for group in set(self._members) ^ self._subscribed:
            await self._settle(group)

    async def _receive_forever(self) -> None:
        while True:
            try:
                message = await _layer().receive(self._channel)
                self._deliver(message)
                # The members' turn: what waits for them is bounded, and a burst is taken without a pause.
                await asyncio.sleep(0)
            except Exception:
                logger.exception("The channel layer could not be heard.")
                await asyncio.sleep(RETRY_SECONDS)

    def _deliver(self, message: dict[str, Any]) -> None:
        for member in tuple(self._members.get(message["group"], ())):
            if member.connection_id != message["but"]:
                member.offer(message["text"])


def _layer() -> Any:
    return get_channel_layer()


def _on_the_layer(group: str) -> str:
    # The layer allows few characters in names, and ids of ours may come from elsewhere.
    return group.encode().hex()
