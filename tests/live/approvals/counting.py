"""A server that counts what it is asked to do: what a tool does for real, seen from outside the processes that die."""

import asyncio
import contextlib
from collections import Counter


class CountingServer:
    """`POST /<name>` counts. While `held`, the answer waits: the deed is done, and the caller does not know."""

    def __init__(self, port: int) -> None:
        self.counts: Counter[str] = Counter()
        self._port = port
        self._free = asyncio.Event()
        self._free.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "CountingServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._free.set()
        assert self._server is not None
        self._server.close()

    def hold(self) -> None:
        """Answers nothing until `let_go`."""
        self._free.clear()

    def let_go(self) -> None:
        """Answers everybody."""
        self._free.set()

    def url(self, name: str) -> str:
        """The address that counts under that name."""
        return f"http://127.0.0.1:{self._port}/{name}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            assert method == "POST"
            self.counts[path.removeprefix("/")] += 1
            await self._free.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
            await writer.drain()
        writer.close()
