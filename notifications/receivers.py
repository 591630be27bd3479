"""What notifications hear of: each signal is answered by one call of a service."""

from typing import Any

from django.dispatch import receiver

from events.changes import EndpointOff, endpoint_switched_off
from notifications import webhooks


@receiver(endpoint_switched_off)
def tell_of_endpoint(change: EndpointOff, **more: Any) -> None:
    """In the transaction of the change."""
    del more
    webhooks.switched_off(change)
