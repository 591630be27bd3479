"""Clients of jobs (seed 003): each begins one, follows it with `Last-Event-ID`, decides about every change, and polls."""

import asyncio
import itertools
import json
import random
import time
from typing import Any

from tests.faults.clients.calls import Caller
from tests.faults.clients.event_source import EventSource
from tests.faults.ledger import Answer, Ledger, Reading
from tests.live.jobs.test_seed import HTML
from tests.live.readers import Frame

TERMINAL = ("completed", "failed", "cancelled")
MESSAGE = 'replace "payment" with "invoice"'


class JobClient:
    """One job after the other, every second one with review."""

    def __init__(self, caller: Caller, ledger: Ledger, chance: random.Random) -> None:
        self.caller = caller
        self.quiet = False
        self.reconnects = 0
        self.begun = 0
        self.decided = 0
        self._ledger = ledger
        self._chance = chance

    async def run(self) -> None:
        """Until it is to be quiet; the job that it is at is followed to its end."""
        for number in itertools.count():
            if self.quiet:
                return
            await self._one(number)
            await asyncio.sleep(self._chance.uniform(0.5, 2.0))

    async def _one(self, number: int) -> None:
        person = self.caller.person.name
        session = f"faults-{person}-{number}"
        mode = "ask_every_time" if number % 2 else "approve_all"
        body = {"message": MESSAGE, "session_id": session, "document_html": HTML, "approval_mode": mode}
        asked_at = time.monotonic()
        begun = await self.caller.until("POST", "/v1/chat/async", json=body, headers={"Idempotency-Key": session})
        job = str(begun.json()["job_id"])
        self.begun += 1
        self._ledger.accept(Answer(job, person, None, asked_at))
        await asyncio.gather(self._follow(session, job), self._poll(job))

    async def _follow(self, session: str, job: str) -> None:
        reading = Reading(f"job reader of {self.caller.person.name}", self.caller.person.name, job)
        self._ledger.readings.append(reading)
        proposed: list[dict[str, Any]] = []
        decisions: list[asyncio.Task[None]] = []

        def take(frame: Frame) -> bool:
            kind = frame.data["type"]
            over = kind in ("usage", "error")
            reading.parts.append((int(frame.id or 0), "end" if over else "other", kind))
            if kind == "proposed_change":
                proposed.append(json.loads(frame.data["content"]))
                if len(proposed) == proposed[0]["batch_total"]:
                    decisions.append(asyncio.create_task(self._decide(session, job)))
            return over

        path = f"/v1/chat/{session}/stream?job_id={job}"
        source = EventSource(self.caller.fronts, self.caller.person, path, take=take, chance=self._chance)
        await source.run()
        self.reconnects += source.connections - 1
        await asyncio.gather(*decisions)

    async def _decide(self, session: str, job: str) -> None:
        """Approves all; the same again changes nothing, and a job that has ended meanwhile says so (409, 410)."""
        caller = Caller(self.caller.fronts, self.caller.person, self._chance, self.caller.statuses)
        body = {"job_id": job, "approved": True}
        await caller.until("POST", f"/v1/chat/{session}/approve", json=body, ok=(200, 409, 410))
        self.decided += 1

    async def _poll(self, job: str) -> None:
        caller = Caller(self.caller.fronts, self.caller.person, self._chance, self.caller.statuses)
        while True:
            state = (await caller.until("GET", f"/v1/jobs/{job}")).json()
            if state["status"] in TERMINAL:
                return
            await asyncio.sleep(self._chance.uniform(0.3, 1.0))
