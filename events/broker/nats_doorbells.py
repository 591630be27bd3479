"""Doorbells in NATS: JetStream says on a subject of its own what it has stored, whoever sent it."""

import asyncio
from collections.abc import AsyncIterator

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from events.broker.base import DoorbellListener
from events.broker.nats_link import COMMAND_SECONDS, connect
from events.broker.nats_subjects import bell_of
from events.exceptions import BrokerUnavailable
from events.streams import Stream


class NatsDoorbells(DoorbellListener):
    """A connection of its own, with one subscription for each stream."""

    def __init__(self) -> None:
        # An empty name: the connection is lost.
        self._rang: asyncio.Queue[str] = asyncio.Queue()
        self._subscriptions: dict[str, Subscription] = {}
        self._new: set[str] = set()
        self._confirming: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str) -> "NatsDoorbells":
        """Connects. Raises `BrokerUnavailable`."""
        listener = cls()
        listener._client = await connect(url, closed_cb=listener._closed)
        return listener

    _client: Client

    async def add(self, stream: Stream) -> None:
        """Subscribes; the confirmation is handed out as a ring."""
        name = stream.name

        async def ring(_: Msg) -> None:
            self._rang.put_nowait(name)

        try:
            if name not in self._subscriptions:
                # Entered before anything is awaited: who adds a stream twice subscribes once.
                self._subscriptions[name] = await self._client.subscribe(bell_of(stream), cb=ring)
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        self._new.add(name)
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm(), name="nats doorbells")

    async def remove(self, stream: Stream) -> None:
        """Unsubscribes."""
        self._new.discard(stream.name)
        subscription = self._subscriptions.pop(stream.name, None)
        try:
            if subscription is not None:
                await subscription.unsubscribe()
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error

    async def __aiter__(self) -> AsyncIterator[str]:
        while name := await self._rang.get():
            yield name
        raise BrokerUnavailable

    async def close(self) -> None:
        """Lets go of the connection."""
        if self._confirming is not None:
            self._confirming.cancel()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._client.close()
        except (nats.errors.Error, OSError, TimeoutError):
            return

    async def _confirm(self) -> None:
        """Rings for what was added, once the server has answered that it knows of it."""
        while self._new:
            names, self._new = self._new, set()
            try:
                async with asyncio.timeout(COMMAND_SECONDS):
                    await self._client.flush()
            except (nats.errors.Error, OSError, TimeoutError):
                self._rang.put_nowait("")
                return
            for name in names:
                self._rang.put_nowait(name)

    async def _closed(self) -> None:
        self._rang.put_nowait("")
