"""Which addresses the server may call because somebody named them: none that only it can reach (server-side request forgery)."""

import asyncio
import ipaddress
import socket
import ssl
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
from django.conf import settings

LONGEST_URL = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_AZURE = IPv4Address("168.63.129.16")
"""Azure's own services answer every virtual machine there, and each another thing; the number looks public."""


class BadAddress(Exception):
    """An address that is not called; the message says why."""


class NoSuchHost(BadAddress):
    """A name that leads nowhere now; it may be found again in a moment."""


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


async def resolve(parts: SplitResult, *, unless: str) -> str:
    """The IP address to call for a host. Raises `NoSuchHost`, and `BadAddress` when any of its addresses is not public.

    `unless`: the name of the setting that allows private ones. The caller must connect to the very address that was
    checked: a name may lead elsewhere a moment later.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, port_of(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NoSuchHost(f"There is no host {parts.hostname}.") from None
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not addresses:
        raise NoSuchHost(f"There is no host {parts.hostname}.")
    if not getattr(settings, unless) and not all(map(is_public, addresses)):
        raise BadAddress(f"{parts.hostname} is in a private network. Operators can allow it: {unless}.")
    # One of IPv4 where there is one: not every network carries the other.
    return min(addresses, key=lambda address: ":" in address)


async def pinned(url: str, *, unless: str) -> tuple[httpx.URL, str, dict[str, Any]]:
    """An address by number, the `Host` to ask for, and what the TLS handshake has to name. Raises as `split_url` and `resolve`.

    The number that was checked is the one that is called: a name that is looked up again may lead elsewhere (DNS rebinding).
    """
    parts = split_url(url)
    number = await resolve(parts, unless=unless)
    return httpx.URL(url).copy_with(host=number, port=port_of(parts)), parts.netloc, {"sni_hostname": parts.hostname}


def direct_client() -> httpx.AsyncClient:
    """A client for pinned addresses: follows no redirects, and waits without end unless its user bounds that."""
    # No proxy from the environment: it would look up names itself, after our check.
    return httpx.AsyncClient(verify=_trusted(), follow_redirects=False, trust_env=False, timeout=None)  # noqa: S113


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed; SSL_CERT_FILE names others. Made once: it takes 20 ms."""
    return httpx.create_ssl_context(trust_env=True)


def is_public(text: str) -> bool:
    """Whether an IP address, also one that is wrapped in IPv6, is one of the public internet."""
    address = _unwrapped(ipaddress.ip_address(text))
    is_odd = address.is_multicast or address.is_reserved or address == _AZURE
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not is_odd and not is_site_local


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
