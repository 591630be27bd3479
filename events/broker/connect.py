"""Which broker the settings ask for."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from events.broker.base import BaseBroker
from events.broker.nats import NatsBroker
from events.broker.redis import RedisBroker
from events.conf import conf


def connect() -> BaseBroker:
    """A new broker for the running event loop. Raises `ImproperlyConfigured`."""
    if conf.EVENT_BROKER == "nats":
        return NatsBroker(settings.NATS_URL)  # type: ignore[misc]  # one of those that settings read in a loop
    if conf.EVENT_BROKER != "redis":
        raise ImproperlyConfigured(f"EVENT_BROKER={conf.EVENT_BROKER} is not a broker: redis or nats.")
    return RedisBroker(settings.REDIS_URL, is_cluster=conf.REDIS_CLUSTER)  # type: ignore[misc]


def address_setting() -> str:
    """The name of the setting with the broker's address, for whoever is told that it cannot be reached."""
    return f"{conf.EVENT_BROKER.upper()}_URL"
