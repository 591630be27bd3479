"""What one socket sends: frames in their order, as fast as the reader takes them, and at last why it closes."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable

from events.conf import conf
from events.frames import Frame
from events.metrics import SOCKET_FRAMES_OUT
from events.works import Works

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0
"""How long a close frame may wait for a reader that takes nothing."""

Send = Callable[[Frame], Awaitable[None]]
"""The `send` of ASGI."""


class Outlet:
    """The sending half of one connection. A reader that takes nothing for SOCKET_WRITE_TIMEOUT is given up."""

    def __init__(self, send: Send, *, path: str, works: Works) -> None:
        """To be made in the task of the connection: a reader who takes nothing is given up by cancelling it."""
        self.closing = False
        """Nothing is sent any more: the close frame was, or the reader is gone."""
        self.given_up = False
        self.first: Callable[[], str] | None = None
        """What is told before everything else."""
        self._send = send
        self._path = path
        self._works = works
        self._connection = asyncio.current_task()
        self._offered: list[str] = []
        self._offering = False

    async def write(self, *texts: str) -> None:
        """Sends frames in this order; each may wait SOCKET_WRITE_TIMEOUT for a reader that takes nothing."""
        if self.first is not None:
            first, self.first = self.first, None
            texts = (first(), *texts)
        try:
            await self._write_in_time(texts)
        except TimeoutError:
            logger.info("A reader of %s took nothing for %g s.", self._path, conf.SOCKET_WRITE_TIMEOUT)
            self._give_up()
        except (OSError, RuntimeError):
            # Servers raise one or the other when the connection ended a moment ago; its last message is on its way to us.
            self.closing = True

    async def _write_in_time(self, texts: Iterable[str]) -> None:
        seconds, now = conf.SOCKET_WRITE_TIMEOUT, asyncio.get_running_loop().time
        async with asyncio.timeout(seconds) as patience:
            began = now()
            for text in texts:
                if self.closing:
                    return
                await self._send({"type": "websocket.send", "text": text})
                SOCKET_FRAMES_OUT.inc()
                # A timer for each frame would cost as much as the frame: it is set anew only for a reader that is slow.
                if now() - began > seconds / 10:
                    began = now()
                    patience.reschedule(began + seconds)

    def offer(self, text: str) -> None:
        """Sends a frame that may be lost, without waiting; of SOCKET_EPHEMERAL_WAITING the oldest ones make room."""
        self._offered.append(text)
        del self._offered[: -conf.SOCKET_EPHEMERAL_WAITING]
        if not self._offering and not self.closing:
            self._offering = True
            self._works.start(self._send_offered(), name="socket offers")

    async def _send_offered(self) -> None:
        try:
            while self._offered:
                await self.write(self._offered.pop(0))
        finally:
            self._offering = False

    async def close(self, code: int, reason: str) -> None:
        """Says why, and that this is the end; nothing when that was said."""
        if self.closing:
            return
        self.closing = True
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._send({"type": "websocket.close", "code": code, "reason": _short(reason)})
        except (TimeoutError, OSError, RuntimeError):
            self._give_up()

    def _give_up(self) -> None:
        self.closing = self.given_up = True
        if self._connection is not None:
            self._connection.cancel()


def _short(reason: str) -> str:
    """As much of a reason as a close frame holds: 123 bytes (RFC 6455, 5.5)."""
    return inspect.cleandoc(reason).encode()[:123].decode(errors="ignore")
