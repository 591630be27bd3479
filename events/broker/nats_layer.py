"""Channels' layer over NATS, for what may be lost: with EVENT_BROKER=nats nothing else is needed.

Plain NATS, not JetStream: who is not there misses it, and nothing is kept.
"""

import asyncio
import json
import secrets
from collections import defaultdict
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import BaseChannelLayer
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from events.broker.nats_link import connect
from events.broker.nats_subjects import token
from events.conf import conf
from events.exceptions import BrokerUnavailable

Message = dict[str, Any]


class NatsChannelLayer(BaseChannelLayer):  # type: ignore[misc]  # Channels has no types
    """A channel layer with groups on the NATS at `url`. Messages are JSON."""

    extensions = ("groups",)

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(**options)
        self._url = url
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, _Place] = WeakKeyDictionary()

    async def new_channel(self, prefix: str = "specific") -> str:
        """A name that nobody else has, which is heard from now on."""
        name = f"{prefix}.{secrets.token_hex(16)}"
        await self._place().open(name, _subject("channel", name))
        return name

    async def send(self, channel: str, message: Message) -> None:
        """To whoever receives on a channel."""
        await self._place().publish(_subject("channel", channel), message)

    async def receive(self, channel: str) -> Message:
        """The next message of a channel of this event loop."""
        return await self._place().next(channel)

    async def group_add(self, group: str, channel: str) -> None:
        """Has a channel of this event loop hear a group. When this returns, it does."""
        await self._place().join(_subject("group", group), channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Has it hear the group no more."""
        await self._place().leave(_subject("group", group), channel)

    async def group_send(self, group: str, message: Message) -> None:
        """To all channels of a group, in all processes."""
        await self._place().publish(_subject("group", group), message)

    def _place(self) -> "_Place":
        loop = asyncio.get_running_loop()
        if loop not in self._places:
            self._places[loop] = _Place(self._url, self.capacity)
        return self._places[loop]


class _Place:
    """The channels and groups of one event loop. A lost connection is made anew, and everything subscribed again."""

    def __init__(self, url: str, capacity: int) -> None:
        self._url = url
        self._capacity = capacity
        self._client: Client | None = None
        self._opening: asyncio.Task[Client] | None = None
        self._waiting: dict[str, asyncio.Queue[Message]] = {}
        self._heard_by: dict[str, set[str]] = defaultdict(set)
        self._subscriptions: dict[str, Subscription] = {}

    async def open(self, channel: str, subject: str) -> None:
        """Begins a channel."""
        self._waiting[channel] = asyncio.Queue(self._capacity)
        await self.join(subject, channel)

    async def join(self, subject: str, channel: str) -> None:
        """Has a channel hear a subject."""
        self._heard_by[subject].add(channel)
        client = await self._connected()
        if subject not in self._subscriptions:
            self._subscriptions[subject] = await client.subscribe(subject, cb=self._take)
        await client.flush()

    async def leave(self, subject: str, channel: str) -> None:
        """Has it hear the subject no more."""
        self._heard_by[subject].discard(channel)
        if self._heard_by[subject]:
            return
        del self._heard_by[subject]
        subscription = self._subscriptions.pop(subject, None)
        if subscription is not None and self._client is not None and self._client.is_connected:
            await subscription.unsubscribe()

    async def publish(self, subject: str, message: Message) -> None:
        """Sends; lost when nobody listens."""
        await (await self._connected()).publish(subject, json.dumps(message, separators=(",", ":")).encode())

    async def next(self, channel: str) -> Message:
        """The next message of a channel."""
        return await self._waiting[channel].get()

    async def _take(self, message: Msg) -> None:
        value = json.loads(message.data)
        for channel in tuple(self._heard_by.get(message.subject, ())):
            queue = self._waiting[channel]
            if queue.full():
                queue.get_nowait()  # the oldest: who is late wants to know how things are now
            queue.put_nowait(value)

    async def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="nats layer")
        return await asyncio.shield(self._opening)

    async def _open(self) -> Client:
        client = await connect(self._url, closed_cb=self._closed)
        self._subscriptions = {}
        for subject in list(self._heard_by):
            self._subscriptions[subject] = await client.subscribe(subject, cb=self._take)
        self._client = client
        return client

    async def _closed(self) -> None:
        """Tries until it is back: a process that only listens would otherwise never notice."""
        while self._heard_by:
            try:
                await self._connected()
            except BrokerUnavailable:
                await asyncio.sleep(1)
            else:
                return


def _subject(kind: str, name: str) -> str:
    return f"{conf.EVENTS_KEY_PREFIX}.{kind}.{token(name)}"
