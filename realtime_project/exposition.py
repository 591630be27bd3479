"""The numbers of `/metrics`, and who may read them."""

import os
import secrets
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess

from events.exceptions import Forbidden, Unauthenticated
from realtime_project.conf import conf


def exposition() -> bytes:
    """All metrics as Prometheus' text: of all processes when PROMETHEUS_MULTIPROC_DIR is set, else of this one."""
    return generate_latest(_registry())


def readings(names: Iterable[str]) -> dict[str, float]:
    """The values of these metrics, which have no labels; those that nothing has set yet are missing."""
    wanted = set(names)
    return {sample.name: sample.value for metric in _registry().collect() for sample in metric.samples if sample.name in wanted}


def _registry() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def admit(*, authorization: str, address: str, forwarded: bool) -> None:
    """Returns when this request may read the metrics.

    With METRICS_TOKEN: `Bearer <token>` only. Without: connections from this machine, unless `forwarded` by a
    proxy, whose own address says nothing of its client's. Raises `Unauthenticated`, `Forbidden`.
    """
    token = conf.METRICS_TOKEN
    if token:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), token.encode()):
            raise Unauthenticated("Send the METRICS_TOKEN as `Authorization: Bearer <token>`.")
    elif forwarded or not is_loopback(address):
        raise Forbidden("Metrics are open to this machine only. Set METRICS_TOKEN to read them from elsewhere.")


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own; False for anything that is no address (a unix socket has none)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback
