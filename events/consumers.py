"""What every WebSocket does: who is asking, frames in and out, limits, and an end that is told and tidy.

A subclass authorises in `opened` and answers frames in `on_<type>`: a few lines each. Frames are taken one at a
time, so nothing slow may run there: `work` and `follow` run beside it. Rules: docs/reference/sockets.md.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from channels.generic.websocket import AsyncWebsocketConsumer
from rest_framework.exceptions import NotAuthenticated

from accounts.authentication import authenticate
from accounts.caller import Caller
from accounts.credentials import BEARER
from events import frames
from events.address import NO_SOCKET, arguments
from events.admission import Admission
from events.conf import conf
from events.connections import Connection, current_connections
from events.event import START, EventId, to_json
from events.exceptions import (
    InvalidRequest,
    NotFound,
    ThroughlineError,
    TooLarge,
    TooMany,
    Unauthenticated,
    translated,
)
from events.feed import Feed
from events.follows import Done, Follows, Truncated
from events.frames import Frame
from events.hub import current_hub
from events.limits import Slot
from events.metrics import OPEN_SOCKETS, REFUSALS, SOCKET_CLOSES, SOCKET_FRAMES_IN
from events.outlet import Outlet, Send
from events.rates import Rate
from events.ring import Render
from events.streams import Stream
from events.term import Term
from events.works import Works

logger = logging.getLogger(__name__)

STOPPING = (1012, "The server restarts: come back with your cursor")
CLEANING_SECONDS = 5.0
"""How long each part of the clean-up may take: a store that hangs must not keep what is left of a connection."""

timestamp = frames.timestamp


class BaseConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One WebSocket. Accepted first: what is refused is closed with a code and a reason that browsers can read."""

    credentials: ClassVar[bool] = True
    """False: nobody is asked who they are, and there is no `caller`."""

    greets: ClassVar[bool] = True
    """False: there is no `connected` frame."""

    subprotocols: ClassVar[tuple[str, ...]] = ()
    """Those that a client may ask for, beside the one that carries a token."""

    caller: Caller
    """Who is asking; set before `opened`."""

    _answers: ClassVar[dict[str, str]] = {}
    """The frames that are understood, and the method that answers each."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        names = [name for name in dir(cls) if name.startswith("on_") and name != "on_text"]
        cls._answers = {name.removeprefix("on_"): name for name in names}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_id = secrets.token_urlsafe(16)
        self.path_args: dict[str, str] = {}
        self.query: dict[str, str] = {}
        self._rate = Rate(per_second=conf.SOCKET_FRAMES_PER_SECOND, burst=conf.SOCKET_FRAMES_BURST)
        self._ref: Any = None
        self._entered = self._ready = False
        self._slot: Slot | None = None
        self._connection: Connection | None = None
        self._works = Works()
        self._groups: set[str] = set()

    # What a subclass says and does.

    @property
    def session(self) -> str:
        """The name under which `/ws/stats` counts this connection."""
        return str(self.scope["path"]).strip("/")

    async def opened(self) -> None:
        """Authorises and sets up; an error raised here closes the socket with its code. Frames are taken afterwards."""

    async def allowed(self) -> None:
        """Asked when the credential was looked at again: raise `Forbidden` where the caller may no longer be here."""

    async def gone(self) -> None:
        """Cleans up; called once, however the connection ended, if `opened` was."""

    def greeting(self) -> Frame:
        """What the `connected` frame says besides who and when."""
        return {}

    async def on_text(self, text: str) -> bool:
        """Answers text that is no JSON; True when it was understood."""
        del text
        return False

    # What a subclass may use.

    async def tell(self, frame: Frame) -> None:
        """Sends one frame, as fast as the reader takes it. Nothing happens once the socket is closing."""
        await self.tell_text(to_json(frame))

    async def tell_text(self, text: str) -> None:
        """`tell` for text that is no JSON, or that was made before."""
        await self._outlet.write(text)

    def follow(
        self,
        key: str,
        *,
        stream: Stream,
        cursor: EventId | None,
        render: Render,
        truncated: Truncated | None = None,
        done: Done | None = None,
    ) -> None:
        """Tells everything of a stream after `cursor`, until `unfollow(key)` or its terminal event, and then awaits `done`.

        `render` makes the frames of one event, and is pure; sockets with the same (or an equal) one share the work.
        `truncated` makes the frame that says that events are missing. A key that is in use is replaced. Without a cursor
        (`parse_cursor` found that the client's is malformed) that is said first, and then all that is retained is told.
        """
        feed = Feed(hub=current_hub(), stream=stream, cursor=cursor or START, reason="malformed" if cursor is None else "")
        self._follows.begin(key, feed, render=render, truncated=truncated, done=done)

    def unfollow(self, key: str) -> None:
        """Ends a `follow`; nothing when there is none."""
        self._follows.end(key)

    def work(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs what takes longer beside the socket; its error is told in an `error` frame. Raises `TooMany`."""
        if len(self._works) - len(self._follows) >= conf.SOCKET_WORK_MAX:
            coroutine.close()
            raise TooMany(f"{conf.SOCKET_WORK_MAX} things that this socket asked for are still under way. Wait for one to end.")
        self._works.start(self._told(coroutine, self._ref), name=f"socket: {name}")

    async def join_group(self, group: str) -> None:
        """Hears what is broadcast to a group from now on; left by itself at the end."""
        self._groups.add(group)
        await current_hub().groups.join(group, self)

    async def leave_group(self, group: str) -> None:
        """Hears no more of a group."""
        self._groups.discard(group)
        await current_hub().groups.leave(group, self)

    async def broadcast(self, group: str, frame: Frame, *, to_self: bool = False) -> None:
        """A frame to all members of a group, at most once: never for anything that may not be lost."""
        await current_hub().groups.send(group, to_json(frame), but="" if to_self else self.connection_id)

    def offer(self, text: str) -> None:
        """Sends a frame that may be lost, without waiting; the oldest ones make room."""
        self._outlet.offer(text)

    def end(self, code: int, reason: str) -> None:
        """Closes the socket from outside, between two frames."""
        if not self._outlet.closing:
            self._works.start(self._outlet.close(code, reason), name="socket closes")

    def recheck(self) -> None:
        """Has the credential looked at now: something about it may have changed."""
        self._term.recheck()

    # Frames that every socket understands.

    async def on_ping(self, frame: Frame) -> None:
        """`ping`: a sign of life."""
        await self.tell(frames.with_ref({"type": "pong", "timestamp": timestamp()}, frame.get("ref")))

    async def on_auth(self, frame: Frame) -> None:
        """`auth {token}`: a newer credential of the same user, before the first one ends."""
        token = frames.text_field(frame, "token", longest=8192)
        if not self.credentials:
            raise InvalidRequest("This socket asks for no credentials.")
        self.work(self._renew(token, frame.get("ref")), name="auth")

    # The connection, from its first message to its last.

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Frame]], send: Send) -> None:
        """The ASGI entry point. Not Channels' own: that has a subscription and a hop to a thread for each message."""
        self.scope, self.base_send = scope, send
        self._outlet = Outlet(send, path=scope["path"], works=self._works)
        self._follows = Follows(self._outlet, self._works)
        self._term = Term(self._outlet, self._works, allowed=self._still_allowed, refuse=self._refuse)
        OPEN_SOCKETS.inc()
        code: int | str = "server"
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                await self._take(message)
            code = message.get("code") or 1005
        except asyncio.CancelledError:
            if not self._outlet.given_up:
                raise
            code = "blocked"
        finally:
            SOCKET_CLOSES.labels(str(code)).inc()
            await self._clean_up()

    async def _take(self, message: Frame) -> None:
        if message["type"] == "websocket.connect":
            await self._enter()
        elif not self._outlet.closing:
            # After closing, what was already on its way is read and forgotten.
            await self._receive(message.get("text"))

    async def _enter(self) -> None:
        offered = self.scope.get("subprotocols", ())
        # A browser that offered some insists on one of them.
        await self.accept(subprotocol=next((name for name in (BEARER, *self.subprotocols) if name in offered), None))
        try:
            self.path_args, self.query = arguments(self.scope)
            if self.credentials:
                try:
                    caller = await authenticate(self.scope)
                except NotAuthenticated:
                    # A page may not want its token in an address: it has some seconds for an `auth` frame.
                    self._term.set_timer(conf.SOCKET_AUTH_SECONDS, lambda: self.end(1008, frames.INVALID_TOKEN))
                    return
                self.caller = self._term.begin(Admission(self.scope, caller))
            await self._open()
        except Exception as error:
            await self._refuse(error)

    async def _open(self) -> None:
        hub = current_hub()
        if hub.closing:
            await self._outlet.close(*STOPPING)
            return
        hub.at_end.add(self._stop)
        # Before anything is waited for: what is revoked from here on ends this connection.
        self._connection = Connection(
            id=self.connection_id,
            user_id=self.caller.user_id if self.credentials else "",
            session=self.session,
            path=self.scope["path"],
            transport="ws",
            end=self.end,
            recheck=self.recheck,
        )
        current_connections().register(self._connection)
        if self.credentials and conf.SOCKETS_PER_USER:
            self._slot = await hub.slots.take_socket(self.caller.user_id)
        self._entered = True
        if self.greets:
            # Whatever `opened` tells, and whatever comes from a stream it follows: `connected` is first.
            self._outlet.first = self._greeting
        await self.opened()
        self._ready = True
        await self._outlet.write()

    def _greeting(self) -> str:
        who = {"user_id": self.caller.user_id} if self.credentials else {}
        return to_json({"type": "connected", **who, **self.greeting(), "timestamp": timestamp()})

    async def _receive(self, text: str | None) -> None:
        SOCKET_FRAMES_IN.inc()
        frame: Frame = {}
        try:
            if not self._rate.allows():
                await self._over_rate()
                return
            if text is None:
                raise InvalidRequest("Binary frames are not understood: send JSON in text frames.")
            if frames.longer_than(text, conf.SOCKET_FRAME_MAX_BYTES):
                raise TooLarge(f"A frame may have at most {conf.SOCKET_FRAME_MAX_BYTES} bytes.")
            if self._entered and not text.lstrip().startswith("{") and await self.on_text(text):
                return
            frame = frames.parse(text)
            await self._answer(frame)
        except TooLarge as error:
            await self._outlet.close(error.close_code, error.message)
        except Exception as error:
            await self._tell_error(error, frame.get("ref"))

    async def _answer(self, frame: Frame) -> None:
        kind = frames.type_of(frame)
        if not self._entered:
            await self._first(kind, frame)
            return
        name = self._answers.get(kind.replace("-", "_").replace(".", "_"))
        if name is None:
            known = ", ".join(sorted(self._answers))
            raise InvalidRequest(f"Frames of the type {kind[:64]!r} are not understood here. Known: {known}.")
        self._ref = frame.get("ref")
        await getattr(self, name)(frame)

    async def _first(self, kind: str, frame: Frame) -> None:
        """The first frame of a socket that came without credentials."""
        try:
            if kind != "auth":
                raise Unauthenticated
            token = frames.text_field(frame, "token", longest=8192)
            self.caller = self._term.begin(await Admission.by_token(self.scope, token))
            await self._open()
        except Exception as error:
            await self._refuse(error)

    async def _over_rate(self) -> None:
        """Told once, then dropped, then closed."""
        message = f"More than {conf.SOCKET_FRAMES_PER_SECOND:g} frames a second."
        if self._rate.refused > conf.SOCKET_FRAMES_BURST:
            await self._outlet.close(TooMany.close_code, message)
        elif self._rate.refused == 1:
            raise TooMany(f"{message} This frame and those above the rate are dropped, and then the socket is closed: slow down.")

    async def _tell_error(self, error: Exception, ref: Any) -> None:
        await self.tell(frames.error_frame(self._as_told(error), ref=ref))

    async def _refuse(self, error: Exception) -> None:
        known = self._as_told(error)
        await self._outlet.close(known.close_code, frames.close_reason(known))

    def _as_told(self, error: Exception) -> ThroughlineError:
        """The error as clients are told of it; ours are logged, and all are counted."""
        known = translated(error)
        if known is None:
            logger.error("A socket on %s met an error of ours.", self.scope["path"], exc_info=error)
            known = ThroughlineError()
        REFUSALS.labels(known.code).inc()
        return known

    async def _told(self, coroutine: Coroutine[Any, Any, None], ref: Any) -> None:
        try:
            await coroutine
        except Exception as error:
            await self._tell_error(error, ref)

    async def _renew(self, token: str, ref: Any) -> None:
        self.caller = self._term.prolong(await Admission.by_token(self.scope, token))
        ends = self.caller.expires_at
        until = {"expires_at": timestamp(ends)} if ends is not None else {}
        await self.tell(frames.with_ref({"type": "authenticated", **until}, ref))

    async def _still_allowed(self) -> None:
        if self._ready:
            await self.allowed()

    def _stop(self) -> None:
        self.end(*STOPPING)

    # The end.

    async def _clean_up(self) -> None:
        """Leaves nothing behind: no task, subscription, lease or timer. One part that fails does not keep the others."""
        self._outlet.closing = True
        self._term.end()
        hub = current_hub()
        hub.at_end.discard(self._stop)
        await self._works.end()
        for group in self._groups:
            await self._tidily(hub.groups.leave(group, self))
        if self._entered:
            await self._tidily(self.gone())
        if self._connection is not None:
            current_connections().unregister(self._connection)
        if self._slot is not None:
            await self._tidily(self._slot.give_back())
        OPEN_SOCKETS.dec()

    async def _tidily(self, part: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CLEANING_SECONDS):
                await part
        except Exception:
            logger.exception("A part of the clean-up of %s failed.", self.scope["path"])


class NoSuchSocket(BaseConsumer):
    """Every other address: an accepted socket that says so, instead of a refused handshake that browsers tell nothing of."""

    credentials = False

    async def opened(self) -> None:
        """Refuses."""
        raise NotFound(NO_SOCKET)
