"""Which addresses pushes go to: none that only this server can reach (server-side request forgery)."""

import asyncio
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx

from notifications.conf import conf


class BadAddress(Exception):
    """An address that is not called; the message says why."""


async def pinned(url: str) -> tuple[httpx.URL, str, dict[str, Any]]:
    """An address by number, the `Host` to ask for, and what the TLS handshake has to name. Raises `BadAddress`.

    The number that was checked is the one that is called: a name may lead elsewhere a moment later.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # Nothing is wrong with it for good: the name may be found again in a moment.
        raise httpx.ConnectError(f"There is no host {parts.hostname}.") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not conf.NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES and not all(map(is_public, addresses)):
        raise BadAddress(
            f"{parts.hostname} is in a private network. Operators can allow it: NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES."
        )
    address = min(addresses, key=lambda each: ":" in each)
    return httpx.URL(url).copy_with(host=address, port=port), parts.netloc, {"sni_hostname": parts.hostname}


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet; those that wrap another one in IPv6 are not."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo):
        return False
    wrapped = ipaddress.ip_network("64:ff9b::/96")
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in wrapped
