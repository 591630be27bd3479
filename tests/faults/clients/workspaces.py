"""Members of a workspace: each tells the others something now and then, and hears what they tell."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.clients.calls import Person
from tests.faults.clients.topics import BEGINNING, OPTIONS
from tests.faults.ledger import History, Ledger, Publication

RECEIPT_SECONDS = 10.0
PAUSE_SECONDS = 0.7


class Member:
    """One program of a member, under one `client` name, back with its cursor.

    A broadcast without a receipt is in doubt: it may or may not be told. The member goes on under another publisher's name,
    so that one that arrives late is in nobody's way.
    """

    def __init__(
        self, fronts: Sequence[str], person: Person, chance: random.Random, *, workspace: str, name: str, ledger: Ledger
    ) -> None:
        self.stream = f"workspace:{workspace}"
        self.history = History(name, person.name, (self.stream,))
        self.connections = 0
        self.quiet = False
        """Says nothing any more."""
        self._fronts = fronts
        self._person = person
        self._chance = chance
        self._workspace = workspace
        self._client = name.replace(" ", "-")
        self._ledger = ledger
        self._cursor = BEGINNING
        self._lives = itertools.count()
        self._waiting: Publication | None = None
        self._receipt = asyncio.Event()
        self._begin_anew()

    @property
    def in_doubt(self) -> bool:
        """Whether a receipt is still waited for."""
        return self._waiting is not None

    def _begin_anew(self) -> None:
        self._publisher = f"{self._client}#{next(self._lives)}"
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                await self._connect()
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))

    async def _connect(self) -> None:
        front = self._chance.choice(self._fronts).replace("http", "ws", 1)
        query = f"token={self._person.key}&client={self._client}&since={self._cursor}"
        async with connect(f"{front}/ws/workspaces/{self._workspace}?{query}", **OPTIONS) as socket:
            speaking = asyncio.create_task(self._speak(socket))
            try:
                async for text in socket:
                    self._take(json.loads(text))
            finally:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, socket: ClientConnection) -> None:
        while True:
            if self._waiting is not None:
                # Of the connection before: what is replayed says whether it arrived.
                await self._wait_for_receipt()
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * PAUSE_SECONDS)
            if self.quiet:
                return
            self._waiting = self._ledger.publish(self.stream, self._publisher, next(self._numbers))
            self._receipt.clear()
            frame = {"type": "document_updated", "publisher": self._publisher, "n": self._waiting.n}
            await socket.send(json.dumps(frame | {"ref": f"{self._publisher}/{self._waiting.n}"}))
            await self._wait_for_receipt()

    async def _wait_for_receipt(self) -> None:
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                await self._receipt.wait()
        except TimeoutError:
            self._waiting = None
            self._begin_anew()

    def _take(self, frame: dict[str, object]) -> None:
        kind, id_ = frame["type"], str(frame.get("id") or "")
        if kind == "workspace_state":
            self.connections += 1
            self.history.add("open", what=f"since {self._cursor}: {frame['cursor']}")
        elif kind == "backlog.truncated":
            self.history.add("notice", stream=self.stream, what=str(frame["reason"]))
        elif kind == "accepted":
            publisher, _, n = str(frame["ref"]).rpartition("/")
            self.history.add("event", stream=self.stream, id=id_, publisher=publisher, n=int(n), what="accepted")
            if self._waiting is not None and (publisher, int(n)) == (self._waiting.publisher, self._waiting.n):
                self._waiting.id, self._waiting = id_, None
                self._receipt.set()
        elif kind == "document_updated":
            stream = f"workspace:{frame['workspace_id']}"
            n = int(str(frame.get("n", -1)))
            self.history.add("event", stream=stream, id=id_, publisher=str(frame.get("publisher", "")), n=n, what=str(kind))
        self._cursor = id_ or str(frame.get("cursor") or "") or self._cursor
