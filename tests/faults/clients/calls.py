"""Requests that are made again until they are answered."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(8.0)


class Refused(Exception):
    """The server says that this is wrong: nothing that a fault may do."""


@dataclass
class Person:
    """A user of the server: its public id, a credential, and what it may hear."""

    name: str
    id: str
    key: str
    organizations: tuple[str, ...]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class Caller:
    """Makes requests of one person to whichever front it likes."""

    fronts: Sequence[str]
    person: Person
    chance: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    tries: int = 0

    async def until(self, method: str, path: str, *, ok: Collection[int] = (200, 201, 202), **options: Any) -> httpx.Response:
        """The answer, when one of `ok` comes; asked again (with the same key, if it has one) while it is in doubt or 429, 5xx."""
        self.tries = 0
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            while True:
                self.tries += 1
                response = await self._once(client, method, path, options)
                if response is not None and response.status_code in ok:
                    return response
                if response is not None and 400 <= response.status_code < 500 and response.status_code != 429:
                    raise Refused(f"{method} {path}: {response.status_code} {response.text[:300]}")
                await asyncio.sleep(self.chance.uniform(0.2, 0.8))

    async def _once(self, client: httpx.AsyncClient, method: str, path: str, options: dict[str, Any]) -> httpx.Response | None:
        headers = self.person.headers | options.get("headers", {})
        try:
            response = await client.request(method, self.chance.choice(self.fronts) + path, **options | {"headers": headers})
        except httpx.TransportError:
            return None
        self.statuses[response.status_code] += 1
        return response
