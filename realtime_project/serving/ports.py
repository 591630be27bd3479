"""Addresses to listen on: the one of the web processes, and those of the embedded stores."""

import errno
import ipaddress
import socket

from realtime_project.serving.errors import ServingError

HIGHEST_PORT = 65535
LOOPBACK = "127.0.0.1"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that every web process inherits: a taken port is known before anything is started.

    Raises:
        ServingError: the port is taken, not allowed, or the address is not one of this machine's.
    """
    if not 1 <= port <= HIGHEST_PORT:
        raise ServingError(f"HOST={host} PORT={port} cannot be listened on: a port is a number from 1 to {HIGHEST_PORT}.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError) as error:
        raise ServingError(f"HOST={host} PORT={port} is not an address to listen on ({error}).") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart waits for old connections
        listener.bind(address)
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ServingError(_sentence(host, port, error)) from error
    return listener


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now. The kernel gives it to nobody else for a while."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
        asked.bind((LOOPBACK, 0))
        return int(asked.getsockname()[1])


def web_address(host: str, port: int) -> str:
    """The address to open in a browser on this machine, such as `http://127.0.0.1:8000`."""
    try:
        everywhere = ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        everywhere = host == ""
    shown = ("[::1]" if ":" in host else "127.0.0.1") if everywhere else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _sentence(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop that one, or set another PORT."
    if number == errno.EACCES:
        return f"This user may not listen on port {port}: set PORT to 1024 or more."
    if number == errno.EADDRNOTAVAIL:
        return f"HOST={host} is not an address of this machine."
    return f"HOST={host} PORT={port} cannot be listened on ({error})."
