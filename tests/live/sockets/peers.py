"""Clients of sockets: one made with a library, and one by hand for what no library would send."""

import asyncio
import contextlib
import json
import os
import socket as sockets
import struct
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.processes import Stack
from tests.patience import patiently


class Peer:
    """One client of the test-only socket `/ws/base/<name>`."""

    def __init__(self, stack: Stack, path: str = "/ws/base/room", *, token: str = "", at: int = 0, **options: Any) -> None:
        url = stack.addresses[at].replace("http", "ws", 1) + path
        if token:
            url += ("&" if "?" in path else "?") + f"token={token}"
        self._connecting = connect(url, compression=None, **options)

    async def __aenter__(self) -> "Peer":
        self.socket: ClientConnection = await self._connecting.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._connecting.__aexit__(*error)

    async def next(self, *, seconds: float = 10) -> dict[str, Any]:
        async with asyncio.timeout(patiently(seconds)):
            return json.loads(await self.socket.recv())

    async def say(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def answer(self, frame: Any) -> dict[str, Any]:
        await self.say(frame)
        return await self.next()

    async def closed(self, *, seconds: float = 15) -> tuple[int, str]:
        """Reads to the end: code and reason."""
        try:
            async with asyncio.timeout(patiently(seconds)):
                while True:
                    await self.socket.recv()
        except ConnectionClosed:
            return self.socket.close_code or 0, self.socket.close_reason or ""


class Raw:
    """A WebSocket by hand, for what no library would send."""

    def __init__(self, stack: Stack, path: str, *, at: int = 0, receive_buffer: int = 0) -> None:
        self.socket = sockets.socket()
        if receive_buffer:
            self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        port = int(stack.addresses[at].rsplit(":", 1)[1])
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass
        if not receive_buffer:
            assert json.loads(self.message()[1])["type"] == "connected"

    @staticmethod
    def frame(opcode: int, data: bytes, *, fin: bool = True, first: int | None = None) -> bytes:
        length = len(data)
        if length < 126:
            size = bytes([0x80 | length])
        else:
            size = bytes([0xFE]) + struct.pack("!H", length) if length < 65536 else bytes([0xFF]) + struct.pack("!Q", length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        return bytes([(0x80 if fin else 0) | opcode if first is None else first]) + size + mask + masked

    def send(self, opcode: int, data: bytes, *, fin: bool = True, first: int | None = None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.frame(opcode, data, fin=fin, first=first))

    def message(self) -> tuple[int, bytes]:
        """(opcode, data) of the next frame; (0, b"") at the end."""
        try:
            head = self.file.read(2)
            if len(head) < 2:
                return 0, b""
            length = head[1] & 0x7F
            if length == 126:
                length = struct.unpack("!H", self.file.read(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self.file.read(8))[0]
            return head[0] & 0x0F, self.file.read(length)
        except ConnectionResetError:
            return 0, b""

    def closed(self) -> tuple[int, str]:
        """Reads to the close frame: code and reason; (0, "") without one."""
        while True:
            opcode, data = self.message()
            if opcode == 0x8:
                return struct.unpack("!H", data[:2])[0], data[2:].decode()
            if not opcode:
                return 0, ""

    def close(self) -> None:
        self.file.close()
        self.socket.close()
