"""A TCP proxy before a store, so that a test can make the store go away without stopping it for others."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit


def through(proxy: "Proxy", url: str) -> str:
    """The store's URL by way of the proxy, with the same user and password."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}"))


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to `host:port`. Use it with `with`.

    It runs in a thread of its own, so that synchronous and asynchronous clients may use it alike.
    `cut` breaks every connection and refuses new ones; `freeze` keeps connections open and passes
    nothing on, as a stopped process would; `swallow_answer` breaks the connection instead of
    passing the next answer on, which leaves the client in doubt; `delay` makes a slow line of it. `restore` ends all of
    it. `lead_to` sends new connections elsewhere.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flowing = asyncio.Event()
        self._refusing = False
        self._swallowing = False
        self._delay = 0.0

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._in_loop(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Breaks every connection and refuses new ones."""
        self._refusing = True
        self._in_loop(self._break_all)

    def freeze(self) -> None:
        """Passes nothing on until `restore`."""
        self._in_loop(self._set_flowing, False)

    def swallow_answer(self) -> None:
        """Passes requests on, and breaks the connection when the next answer comes."""
        self._swallowing = True

    def delay(self, seconds: float) -> None:
        """Holds every piece of data back for so long, in both directions."""
        self._delay = seconds

    def lead_to(self, host: str, port: int) -> None:
        """Breaks every connection; new ones are made to another server."""
        self._target = (host, port)
        self._in_loop(self._break_all)

    def restore(self) -> None:
        """Serves as if nothing had happened; what was frozen flows on."""
        self._refusing = self._swallowing = False
        self._delay = 0.0
        self._in_loop(self._set_flowing, True)

    def _in_loop(self, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        async def run() -> None:
            await call(*args)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _start(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        await self._break_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _break_all(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await self._join(reader, writer)
        self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, there_writer, False), self._pass(there_reader, writer, True))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                if answers and self._swallowing:
                    self._swallowing = False
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
