"""Other services: each publishes numbered events for one stream, the next when the one before is accepted."""

import asyncio
import itertools
import random

from tests.faults.clients.calls import Caller
from tests.faults.ledger import Ledger, Publication


class Publisher:
    """One publisher of one stream: `user:<id>` over `/api/v1/events`, `org:<id>` over `/api/v1/topics/publish`.

    What is in doubt is sent again under its idempotency key, so that it is accepted once.
    """

    def __init__(self, caller: Caller, ledger: Ledger, chance: random.Random, *, stream: str, name: str, pause: float) -> None:
        self.caller = caller
        self.stream = stream
        self.name = name
        self.quiet = False
        self._ledger = ledger
        self._chance = chance
        self._pause = pause
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Until it is to be quiet."""
        while not self.quiet:
            await self.publish_one()
            await asyncio.sleep(self._chance.uniform(0.3, 1.7) * self._pause)

    async def publish_one(self) -> Publication:
        """The next event, accepted."""
        item = self._ledger.publish(self.stream, self.name, next(self._numbers))
        kind, _, id_ = self.stream.partition(":")
        payload = {"publisher": self.name, "n": item.n}
        key = f"{self.name}/{item.n}"
        if kind == "user":
            body = {"user": id_, "type": "source.ingest.progress", "payload": payload, "idempotency_key": key}
            response = await self.caller.until("POST", "/api/v1/events", json=body)
            item.id = response.json()["ids"][0]
        else:
            body = {"topic": f"events.{id_}.faults.item.made.i{item.n % 5}", "payload": payload, "idempotency_key": key}
            response = await self.caller.until("POST", "/api/v1/topics/publish", json=body)
            item.id = response.json()["results"][0]["cursor"]
        item.tries = self.caller.tries
        return item
