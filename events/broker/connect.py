"""Which broker the settings ask for."""

from django.conf import settings

from events.broker.base import BaseBroker
from events.broker.redis import RedisBroker


def connect() -> BaseBroker:
    """A new broker for the running event loop."""
    return RedisBroker(settings.REDIS_URL)  # type: ignore[misc]  # one of those that settings read in a loop
