"""People who ask: each answer is read by several readers, over SSE and by polling, and by somebody who may not."""

import asyncio
import itertools
import json
import random
import time
from typing import Any

import httpx

from tests.faults.clients.calls import Caller
from tests.faults.clients.event_source import EventSource
from tests.faults.ledger import Answer, Ledger, Reading
from tests.live.conftest import words
from tests.live.readers import Frame, SseParser

TERMINAL = ("completed", "failed", "cancelled")


class Asker:
    """Asks one question after the other; `tasks` are the readers of the answers."""

    def __init__(self, caller: Caller, ledger: Ledger, chance: random.Random, *, stranger: Caller) -> None:
        self.caller = caller
        self.quiet = False
        self.tasks: list[asyncio.Task[None]] = []
        self.reconnects = 0
        self.asked = 0
        self._ledger = ledger
        self._chance = chance
        self._stranger = stranger
        self._keys = itertools.count()

    async def run(self) -> None:
        """Until it is to be quiet."""
        while not self.quiet:
            await self._ask()
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))

    async def _ask(self) -> None:
        tokens, rate = self._chance.randint(20, 160), self._chance.choice((10, 20, 40))
        question = f"!script {json.dumps([{'tokens': tokens, 'per_second': rate}])}"
        asked_at = time.monotonic()
        message_id = await self._accepted(question, f"{self.caller.person.name}-{next(self._keys)}")
        self.asked += 1
        self._ledger.accept(Answer(message_id, self.caller.person.name, words(tokens), asked_at))
        for number in range(2):
            self.tasks.append(asyncio.create_task(self._read(message_id, number)))
        self.tasks.append(asyncio.create_task(self._poll(message_id)))
        self.tasks.append(asyncio.create_task(self._trespass(message_id)))

    async def _accepted(self, question: str, key: str) -> str:
        """Asks, and leaves when the first frame says which answer it is; again under the same key while that is in doubt."""
        while True:
            try:
                return await self._first_frame(question, key)
            except (httpx.TransportError, ConnectionError):
                await asyncio.sleep(self._chance.uniform(0.2, 0.8))

    async def _first_frame(self, question: str, key: str) -> str:
        headers = self.caller.person.headers | {"Idempotency-Key": key}
        address = f"{self._chance.choice(self.caller.fronts)}/stream"
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(10.0)) as client,
            client.stream("POST", address, json={"question": question}, headers=headers) as response,
        ):
            self.caller.statuses[response.status_code] += 1
            if response.status_code != 200:
                raise ConnectionError(response.status_code)
            parser = SseParser()
            async for data in response.aiter_raw():
                for frame in parser.feed(data):
                    if frame.data["type"] == "message_id":
                        return str(frame.data["message_id"])
        raise ConnectionError("no first frame")

    async def _read(self, message_id: str, number: int) -> None:
        await asyncio.sleep(number * self._chance.uniform(0.0, 4.0))
        reading = Reading(f"answer reader {number} of {self.caller.person.name}", self.caller.person.name, message_id)
        self._ledger.readings.append(reading)

        def take(frame: Frame) -> bool:
            return note_answer_frame(reading, frame)

        path = f"/api/messages/{message_id}/events"
        source = EventSource(self.caller.fronts, self.caller.person, path, take=take, chance=self._chance)
        await source.run()
        self.reconnects += source.connections - 1

    async def _poll(self, message_id: str) -> None:
        """`tail`, as a client without streams does, with its cursor: what it once said stays said."""
        caller = Caller(self.caller.fronts, self.caller.person, self._chance, self.caller.statuses)
        reading = Reading(f"poller of {self.caller.person.name}", self.caller.person.name, message_id)
        so_far, cursor = "", "0"
        while True:
            headers = {"Last-Event-ID": cursor}
            tail: dict[str, Any] = (await caller.until("GET", f"/api/messages/{message_id}/tail", headers=headers)).json()
            if not tail["response"].startswith(so_far):
                self._ledger.strays.append(f"the poller of {message_id} saw {so_far[-40:]!r}, then {tail['response'][-40:]!r}")
            so_far, cursor = tail["response"], tail["last_event_id"]
            if tail["status"] in TERMINAL:
                reading.parts += [(1, "text", so_far), (2, "end", tail["status"])]
                self._ledger.readings.append(reading)
                return
            await asyncio.sleep(self._chance.uniform(0.3, 1.0))

    async def _trespass(self, message_id: str) -> None:
        """Somebody else asks for the answer, as long as it takes to be told that there is none."""
        for path in (f"/api/messages/{message_id}/events", f"/api/messages/{message_id}/tail"):
            response = await self._stranger.until("GET", path, ok=(404, 200))
            if response.status_code == 200:
                self._ledger.trespasses.append(f"{self._stranger.person.name} was answered {path} of {self.caller.person.name}")


def note_answer_frame(reading: Reading, frame: Frame) -> bool:
    """Whether it was the last."""
    kind, data = frame.data["type"], frame.data
    if frame.id is None:
        return False
    if kind == "answer":
        reading.parts.append((int(frame.id), "text", data["answer"]))
    elif kind in ("end", "error"):
        reading.parts.append((int(frame.id), "end", kind))
    else:
        reading.parts.append((int(frame.id), "other", kind))
    return kind in ("end", "error")
