"""The event loop of a web process: `uvicorn --loop realtime_project.serving.loop:Loop`.

libuv, beneath uvloop, accepts one connection in a turn of the loop, and a turn of a busy process takes 20 to 50 ms.
Measured: 2,750 readers whose process had died came back to the other one at 30 a second, most of them waiting
in the kernel's queue. asyncio's own loop accepts the whole queue in one turn: they were back in 10 s, and those
who were there before waited while two thousand requests were read. Between the two: a few in a turn, so that it
is the length of a turn that says how many come in.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import uvloop

ACCEPTS = 8
"""Most connections that are accepted in a turn."""

Protocols = Callable[[], asyncio.BaseProtocol]


class Listeners:
    """Several listeners of one socket as one server: what uvicorn needs of one."""

    def __init__(self, servers: list[asyncio.Server]) -> None:
        self._servers = servers

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is listened on."""
        return tuple(self._servers[0].sockets)

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._servers[0].is_serving()

    def close(self) -> None:
        """Accepts nobody any more."""
        for server in self._servers:
            server.close()

    async def wait_closed(self) -> None:
        """Returns when the last connection is over."""
        for server in self._servers:
            await server.wait_closed()


class Loop(uvloop.Loop):
    """uvloop, accepting up to ACCEPTS connections in a turn."""

    async def create_server(  # type: ignore[override]  # what uvicorn needs of it
        self, protocols: Protocols, *address: Any, sock: socket.socket | None = None, **options: Any
    ) -> Listeners:
        """As asyncio's; each listener has a descriptor of the same socket, and accepts one connection in a turn."""
        if sock is not None:
            return Listeners([await self._listener(protocols, sock, options) for _ in range(ACCEPTS)])
        first = cast("asyncio.Server", await super().create_server(protocols, *address, **options))
        same: dict[str, Any] = {name: options[name] for name in ("backlog", "ssl") if name in options}
        more = [await self._listener(protocols, each, same) for each in first.sockets for _ in range(ACCEPTS - 1)]
        return Listeners([first, *more])

    async def _listener(self, protocols: Protocols, sock: socket.socket, options: dict[str, Any]) -> asyncio.Server:
        # By its descriptor: uvicorn takes any that it inherits for a Unix socket, and a stream over TCP that
        # is taken for one waits for acknowledgements before it sends the next token (Nagle).
        listener = socket.socket(fileno=sock.dup().detach())
        return cast("asyncio.Server", await super().create_server(protocols, sock=listener, **options))
