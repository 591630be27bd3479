"""One connection to NATS, on which many questions are under way at the same time."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from events.exceptions import BrokerUnavailable

CONNECT_SECONDS = 2
COMMAND_SECONDS = 5.0
"""Longest wait for one round trip."""

PING_SECONDS = 5
UNANSWERED_PINGS = 2

NO_RESPONDERS = "503"


@dataclass(frozen=True, slots=True)
class Question:
    """A message that is answered: by JetStream, or by one of its interfaces."""

    subject: str
    payload: bytes = b""
    headers: dict[str, str] | None = None
    which: str = ""
    """One of our streams, whose name of this day is to be added to the subject."""


class NatsClient(Client):
    """nats-py's client, but for what does not do: headers read letter by letter, closings of which nobody is told."""

    async def abandon(self) -> None:
        """Lets go of a connection that has not come about; nobody is told."""
        await self._close(Client.CLOSED, do_cbs=False)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # The last flush failed, after it was marked as closed and before anybody was told: without this whoever
            # listens would wait for ever, and nobody would connect again.
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            if do_cbs and self._closed_cb is not None:
                await self._closed_cb()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # The client's own parser takes half of the time of a long read.
        pairs = (line.partition(":") for line in raw.decode("utf-8", "replace").split("\r\n"))
        return {name: value.strip() for name, colon, value in pairs if colon}


async def connect(url: str, **options: Any) -> Client:
    """A connection to one of the servers of `url` (several: with commas between them), chosen at random.

    Without the client's own reconnecting: it would send what waited meanwhile, of which the caller has been told
    that it failed. Raises `BrokerUnavailable`.
    """
    servers = [each.strip() for each in url.split(",")]
    random.shuffle(servers)
    error: Exception | None = None

    async def note(failed: Exception) -> None:
        """What the client would log, with its traceback; whoever waits for an answer hears of it."""
        nonlocal error
        error = failed

    for server in servers:
        client = NatsClient()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # Of attempts and pauses nothing is left but one attempt, at once: the caller knows when to try again.
                await client.connect(
                    server,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=UNANSWERED_PINGS,
                    error_cb=note,
                    **options,
                )
            return client
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as failed:
            error = error or failed
            await _ended(client.abandon())
    raise BrokerUnavailable from error


async def _ended(closing: Awaitable[None]) -> None:
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            await closing


class Link:
    """Questions and answers. Every question has an address of its own, so no late answer is taken for another's."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: dict[str, tuple[asyncio.Future[list[Msg]], list[Msg]]] = {}

    @classmethod
    async def open(cls, url: str) -> "Link":
        """Connects. Raises `BrokerUnavailable`."""
        link = cls()
        link._client = await connect(url, closed_cb=link._closed)
        link._inbox = link._client.new_inbox()
        await link._client.subscribe(f"{link._inbox}.*", cb=link._answered, pending_bytes_limit=0)
        return link

    _client: Client
    _inbox: str

    async def ask(self, questions: Sequence[Question]) -> list[list[Msg]]:
        """The answers to questions that are all sent at once. Raises `BrokerUnavailable`."""
        if self.lost:
            raise BrokerUnavailable
        names = [str(next(self._numbers)) for _ in questions]
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in questions]
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                for name, future, question in zip(names, futures, questions, strict=True):
                    self._waiting[name] = (future, [])
                    await self._client.publish(
                        question.subject, question.payload, reply=f"{self._inbox}.{name}", headers=question.headers
                    )
                return [await future for future in futures]
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error
        finally:
            for name, future in zip(names, futures, strict=True):
                self._waiting.pop(name, None)
                future.cancel()

    @property
    def lost(self) -> bool:
        """Whether it is over: another one must be opened."""
        return self._client.is_closed

    @property
    def version(self) -> str:
        """The version of the server."""
        known = self._client.connected_server_version
        return f"{known.major}.{known.minor}.{known.patch}"

    async def close(self) -> None:
        """Lets go of the connection."""
        await _ended(self._client.close())

    async def _answered(self, message: Msg) -> None:
        found = self._waiting.get(message.subject.rpartition(".")[2])
        if found is None:
            return
        future, messages = found
        if is_more(message):
            messages.append(message)
            return
        if not future.done():
            # What only says that there is no more is no part of the answer, unless it is all of it.
            future.set_result(messages if messages and status(message) else [*messages, message])

    async def _closed(self) -> None:
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(BrokerUnavailable())
                future.exception()  # whoever asked may have left


def status(message: Msg) -> str:
    """204 (no more), 404 (nothing found), 503 (nobody answers); empty for real messages."""
    return (message.headers or {}).get("Status", "")


def is_more(message: Msg) -> bool:
    """Whether this is one of several messages, the last of which has a status."""
    return message.headers is not None and "Nats-Num-Pending" in message.headers and not status(message)


def said(messages: Sequence[Msg]) -> dict[str, Any]:
    """What an interface of JetStream answered; raises `BrokerUnavailable` for its errors."""
    answer: dict[str, Any] = json.loads(messages[0].data or b"{}")
    if status(messages[0]) or "error" in answer:
        raise BrokerUnavailable from RuntimeError(answer.get("error", {}).get("description") or status(messages[0]))
    return answer
