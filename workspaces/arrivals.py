"""Which changes of presence are news to a member: what the state has told already may be broadcast after it."""

import asyncio
import json
from collections.abc import Iterable

CAME, LEFT = "user_joined", "user_left"
"""What the frames about them are called (seed 004)."""

SETTLING_SECONDS = 10.0
"""Longest time that is reckoned with between a change of presence and its broadcast."""


class Arrivals:
    """Who a member knows to be here, for a while after he was told the state.

    Someone enters a place and says so afterwards; whoever asks who is here in between finds him, and hears of him again.
    """

    def __init__(self) -> None:
        self._here: set[str] | None = None
        self._settled: asyncio.TimerHandle | None = None

    def told(self, user_ids: Iterable[str], *, whole: bool) -> None:
        """The state was told; `whole`: with everybody who is here."""
        self.close()
        if whole:
            self._here = set(user_ids)
            self._settled = asyncio.get_running_loop().call_later(SETTLING_SECONDS, self.close)

    def is_news(self, text: str) -> bool:
        """Whether a frame says more than that somebody came or left of whom the member knows it; he knows it from then on."""
        if self._here is None:
            return True
        frame = json.loads(text)
        if frame["type"] not in (CAME, LEFT):
            return True
        user_id, came = frame["user_id"], frame["type"] == CAME
        if (user_id in self._here) == came:
            return False
        (self._here.add if came else self._here.discard)(user_id)
        return True

    def close(self) -> None:
        """Everything is news again."""
        if self._settled is not None:
            self._settled.cancel()
        self._here = self._settled = None
