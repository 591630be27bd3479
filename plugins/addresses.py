"""Which addresses the server may call for a user: none that only it can reach (server-side request forgery)."""

import asyncio
import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from plugins.conf import conf

LONGEST_URL = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class BadAddress(Exception):
    """An address that is not called; the message says why."""


def split_url(url: str) -> SplitResult:
    """The parts of an absolute http(s) address with a host, without user name and fragment. Raises `BadAddress`."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadAddress(f"An address has at most {LONGEST_URL} characters, in ASCII and without spaces.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadAddress("This is no address.") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadAddress("An address begins with https:// or http:// and a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadAddress("An address holds no user name, no password and no fragment (#).")
    return parts


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port, as in the address."""
    return f"{parts.scheme}://{parts.netloc}"


def same_origin(one: SplitResult, other: SplitResult) -> bool:
    """Whether both lead to the same scheme, host and port."""
    return _origin(one) == _origin(other)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, port_of(parts)


def port_of(parts: SplitResult) -> int:
    """The port, by default that of the scheme."""
    return parts.port or (443 if parts.scheme == "https" else 80)


async def resolve(parts: SplitResult) -> str:
    """The IP address to call for a host. Raises `BadAddress` when it has none, or any that is not public.

    The caller must connect to the very address that was checked: a name may lead elsewhere a moment later.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, port_of(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BadAddress(f"There is no host {parts.hostname}.") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not addresses:
        raise BadAddress(f"There is no host {parts.hostname}.")
    if not conf.PLUGINS_ALLOW_PRIVATE_ADDRESSES and not all(map(is_public, addresses)):
        raise BadAddress(f"{parts.hostname} is in a private network. Operators can allow it: PLUGINS_ALLOW_PRIVATE_ADDRESSES.")
    # One of IPv4 where there is one: not every network carries the other.
    return min(addresses, key=lambda address: ":" in address)


def is_public(text: str) -> bool:
    """Whether an IP address, also one that is wrapped in IPv6, is one of the public internet."""
    address = _unwrapped(ipaddress.ip_address(text))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
