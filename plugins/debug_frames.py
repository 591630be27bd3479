"""The frames that tell an execution (seed 004, "Plugin Debug WebSocket"), on the socket and over REST. No I/O."""

from collections.abc import Iterable
from typing import Any

from events.event import Event
from events.frames import timestamp
from plugins.execution_events import BY_FRAME

_NAMES = {str(type_): name for name, type_ in BY_FRAME.items()}


def frames(event: Event) -> Iterable[dict[str, Any]]:
    """How an event is told: the payload under `data`, its place as `seq`."""
    yield {
        "type": _NAMES.get(event.type, event.type),
        "seq": event.id.major,
        "timestamp": timestamp(event.at / 1000),
        "data": event.data,
    }
