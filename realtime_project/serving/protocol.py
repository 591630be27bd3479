"""uvicorn's WebSocket protocol with our limits: `uvicorn --ws realtime_project.serving.protocol:WebSocketProtocol`.

What uvicorn leaves open, and this closes: text that is not UTF-8 is a traceback in its log for each frame; a peer
that takes nothing keeps a closed connection and what waits in it for ever, and makes a server that answers its pings
keep all the pongs; empty fragments and pings cost the sender nothing and are not counted.
Source: uvicorn/protocols/websockets/websockets_sansio_impl.py; RFC 6455, 5.4-5.5, 7.4.
"""

import asyncio
import logging
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from events.conf import conf
from events.exceptions import TooMany
from events.rates import Rate

ABORT_SECONDS = 5.0
"""How long a connection that is over may take to send what is left, and to hear of it."""

DEFLATE = ServerPerMessageDeflateFactory(
    server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5, "level": 1}
)
"""Small windows and the fastest level: every connection has a context of its own, and frames are small."""


class Frames(ServerProtocol):
    """The library's reading and writing of frames."""

    def recv_frame(self, frame: Frame) -> None:
        """Takes one. A peer may close in the middle of a message (Autobahn's case 7.1.5), which the library calls an error."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection. The settings SOCKET_* count, whatever flags uvicorn was given."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Frames(
            extensions=[DEFLATE] if conf.SOCKET_COMPRESSION else [],
            max_size=conf.SOCKET_FRAME_MAX_BYTES,
            logger=logging.getLogger("uvicorn.error"),
        )
        self.ping_interval = conf.SOCKET_PING_SECONDS
        self.ping_timeout = conf.SOCKET_PONG_SECONDS
        self._empty = Rate(per_second=conf.SOCKET_FRAMES_PER_SECOND, burst=conf.SOCKET_FRAMES_BURST)
        self._abort: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        if self._abort is not None:
            self._abort.cancel()
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        """Gives a whole message to the application; text that is not UTF-8 closes the connection (RFC 6455, 8.1)."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                self.frames = [b"".join(self.frames)]
                self.frames[0].decode()
            except UnicodeDecodeError:
                self._fail(1007, "The text is not UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """One more fragment. Empty ones are not kept: their number has no bound, other than that of the bytes in a message."""
        if not event.data and not event.fin:
            self._count_empty()
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answers a ping, unless the peer takes nothing: its pongs would pile up."""
        self._count_empty()
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """No pong came in time: the peer is gone, or takes nothing."""
        super().keepalive_timeout()
        self._abort_later()

    async def run_asgi(self) -> None:
        """The application, for this connection; when it is over the connection soon is as well."""
        await super().run_asgi()
        self._abort_later()

    def _count_empty(self) -> None:
        if not self._empty.allows() and self._empty.refused > conf.SOCKET_FRAMES_BURST and not self.close_sent:
            self._fail(TooMany.close_code, "Too many pings or empty fragments")

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._abort is None and not self.disconnected:
            self._abort = self.loop.call_later(ABORT_SECONDS, self.transport.abort)
