"""What a reader without a cursor has to know at once: things that began before and are not over."""

from collections.abc import Callable
from typing import Any

from accounts.caller import Caller
from events.event import START, Event
from events.publishing import now_ms

Pending = tuple[str, dict[str, Any]]
"""An event's type and data."""

_providers: list[Callable[[Caller], list[Pending]]] = []


def provides_pending(provider: Callable[[Caller], list[Pending]]) -> Callable[[Caller], list[Pending]]:
    """Registers a function that says what is still open for a caller (synchronous, may ask the database)."""
    _providers.append(provider)
    return provider


def pending_events(caller: Caller) -> list[Event]:
    """Everything still open, as ordinary events; none of them has a place in the log."""
    return [Event(START, type, data, now_ms()) for provider in _providers for type, data in provider(caller)]
