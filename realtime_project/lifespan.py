"""What a web process does at its start and end.

uvicorn tells the application of its end only after all responses are over, and open streams are never
over by themselves. So the signals that stop uvicorn first end our feeds, at an event boundary.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from django.conf import settings

from chat.sweep import Sweep
from events import outbox
from events.broker.connect import connect
from events.connections import current_connections
from events.hub import close_hub, current_hub
from events.presence import current_presence
from realtime_project.running import require_key

logger = logging.getLogger(__name__)

Message = dict[str, Any]


async def lifespan(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """The ASGI lifespan protocol: https://asgi.readthedocs.io/en/latest/specs/lifespan.html."""
    del scope
    await receive()
    require_key(str(settings.SECRET_KEY))
    broker = connect()
    sweeps = [
        asyncio.create_task(Sweep(broker=broker).run_forever(), name="sweep of runs"),
        asyncio.create_task(outbox.Sender().run_forever(), name="outbox"),
    ]
    # From the start, for what processes that died have left behind.
    current_presence()
    current_connections()
    _end_feeds_on_signals()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for sweep in sweeps:
        sweep.cancel()
    await asyncio.gather(*sweeps, return_exceptions=True)
    await close_hub()
    await broker.close()
    await send({"type": "lifespan.shutdown.complete"})


def _end_feeds_on_signals() -> None:
    hub = current_hub()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        uvicorn_stops = signal.getsignal(number)

        def stop(received: int, frame: FrameType | None, then: Any = uvicorn_stops) -> None:
            loop.call_soon_threadsafe(hub.end_feeds)
            if callable(then):
                then(received, frame)

        signal.signal(number, stop)
