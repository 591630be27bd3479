"""A service that publishes on topics, and keeps in what order each organisation's stream took it."""

from collections.abc import Iterable, Iterator
from itertools import count

from tests.live.conftest import Client


class Publisher:
    """Publishes numbers over the web processes of a server."""

    def __init__(self, client: Client, *, first: int = 0) -> None:
        self.client = client
        self.taken: list[tuple[str, str, int]] = []
        """(cursor, topic, number)"""
        self._numbers: Iterator[int] = count(first)

    async def publish(self, topics: Iterable[str], *, at: int) -> None:
        """One event on each topic, with the next numbers, in one request to the process `at`."""
        items = [{"topic": topic, "payload": {"n": next(self._numbers)}} for topic in topics]
        answer = await self.client.request("POST", "/api/v1/topics/publish", at=at, json=items)
        assert answer.status_code == 202, answer.text
        for item, result in zip(items, answer.json()["results"], strict=True):
            self.taken.append((result["cursor"], item["topic"], item["payload"]["n"]))
