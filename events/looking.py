"""Loops that look into the stores for something to do, beside a worker's jobs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from events.exceptions import ThroughlineError
from events.journal import UNREACHABLE

RETRY_SECONDS = 2.0
"""Pause after a store could not be reached."""


async def look_forever(
    look: Callable[[], Awaitable[int]], *, pause: Callable[[], Awaitable[None]], logger: logging.Logger, what: str
) -> None:
    """Looks again at once while `look` finds something, after a `pause` when it does not, and later when a store is away.

    `what` names the work in the log, such as "Webhooks". Never returns.
    """
    while True:
        try:
            if not await look():
                await pause()
        except (ThroughlineError, *UNREACHABLE) as error:
            logger.warning("%s wait: %s", what, error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            # A mistake of ours in one look must not end all that follow.
            logger.exception("%s failed.", what)
            await asyncio.sleep(RETRY_SECONDS)


async def woken_within(woken: asyncio.Event, *, seconds: float) -> None:
    """Returns when it is set, and clears it; or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return
    woken.clear()


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels them and waits until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
