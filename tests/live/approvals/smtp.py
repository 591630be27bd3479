"""A mail server that keeps what it is given: as much of RFC 5321 as Django's sender speaks."""

import asyncio
from email import message_from_bytes
from email.message import Message
from email.policy import default


class MailServer:
    """`messages` holds what was sent; the first `refusals` attempts are told to come back later."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self.refusals = 0
        self._port = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "MailServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(message_from_bytes(data[:-5].replace(b"\r\n..", b"\r\n."), policy=default))
            elif verb == b"MAIL" and self.refusals:
                self.refusals -= 1
                writer.write(b"451 come back later\r\n")
                continue
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            await writer.drain()
            if verb == b"QUIT":
                break
        writer.close()
