"""Many WebSockets: `python -m benchmarks.followers.sockets URL COUNT [TOPIC]`.

After a lost connection again with the back-off of our `socket.js`, for ever. With a TOPIC they subscribe to it as `/ws/events`
asks, after a cut with the cursor of the last frame that had one; without one there is nothing that they could ask for.
"""

import asyncio
import json
import random
import sys

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.followers.telling import Teller

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0


def back_off(attempt: int) -> float:
    """Seconds before this attempt, from 1, as `backOff` in events/static/events/pauses.js."""
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(attempt - 1, 30)) * random.random()


class Follower:
    """One client, over all its connections."""

    def __init__(self, who: int, url: str, topic: str) -> None:
        self._teller = Teller(who)
        self._url = url
        self._topic = topic
        self._cursor = ""
        self._attempt = 0

    async def follow(self) -> None:
        """Follows for ever."""
        while True:
            try:
                # No pings of its own: browsers send none.
                async with connect(self._url, ping_interval=None, proxy=None, open_timeout=30) as socket:
                    await self._read(socket)
            except (OSError, WebSocketException):
                pass  # the back-off follows
            self._attempt += 1
            await asyncio.sleep(back_off(self._attempt))

    async def _read(self, socket: ClientConnection) -> None:
        if self._topic:
            since = {"since": self._cursor} if self._cursor else {}
            await socket.send(json.dumps({"action": "subscribe", "topics": [self._topic], **since}))
        else:
            self._opened()
        async for text in socket:
            self._take(str(text))

    def _take(self, text: str) -> None:
        if self._topic:
            frame = json.loads(text)
            self._cursor = frame.get("id") or frame.get("cursor") or self._cursor
            if frame["type"] == "subscribed":
                self._opened()
            elif frame["type"] == "backlog.truncated":
                self._teller.missed()
        self._teller.received(text)

    def _opened(self) -> None:
        self._attempt = 0
        self._teller.opened()


async def main(url: str, count: str, topic: str = "") -> None:
    await asyncio.gather(*(Follower(who, url, topic).follow() for who in range(int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
