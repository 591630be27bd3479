"""What every WebSocket does: who is asking, frames in and out, limits, and an end that is told and tidy.

A subclass authorises in `opened` and answers frames in `on_<type>`: a few lines each. Frames are taken one at a
time, so nothing slow may run there: `work` and `follow` run beside it. Rules: docs/reference/sockets.md.
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from channels.generic.websocket import AsyncWebsocketConsumer
from rest_framework.exceptions import NotAuthenticated

from accounts.authentication import authenticate
from accounts.caller import Caller
from accounts.credentials import BEARER
from events import frames
from events.admission import Admission
from events.conf import conf
from events.connections import Connection, current_connections
from events.event import START, Event, EventId, storable, to_json
from events.exceptions import (
    Forbidden,
    InvalidRequest,
    NotFound,
    ThroughlineError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    translated,
)
from events.feed import Feed
from events.frames import Frame
from events.hub import current_hub
from events.limits import Slot
from events.metrics import OPEN_SOCKETS, REFUSALS, SOCKET_CLOSES, SOCKET_FRAMES_IN, SOCKET_FRAMES_OUT
from events.rates import Rate
from events.ring import Batch, Render
from events.streams import Stream

logger = logging.getLogger(__name__)

STOPPING = (1012, "The server restarts: come back with your cursor")
INVALID_TOKEN = "Invalid token"  # noqa: S105 - the seed's words for a close reason
CLEANING_SECONDS = 5.0
"""How long each part of the clean-up may take: a store that hangs must not keep what is left of a connection."""

CLOSING_SECONDS = 2.0
"""How long a close frame may wait for a reader that takes nothing."""

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
        self._admission: Admission | None = None
        self._rate = Rate(per_second=conf.SOCKET_FRAMES_PER_SECOND, burst=conf.SOCKET_FRAMES_BURST)
        self._ref: Any = None
        self._entered = self._ready = self._greeted = self._closing = self._given_up = False
        self._main: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._slot: Slot | None = None
        self._connection: Connection | None = None
        self._works: set[asyncio.Task[None]] = set()
        self._follows: dict[str, asyncio.Task[None]] = {}
        self._groups: set[str] = set()
        self._offered: list[str] = []
        self._offering = False

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
        await self._write(to_json(frame))

    def follow(
        self,
        key: str,
        *,
        stream: Stream,
        cursor: EventId | None,
        render: Render,
        truncated: Callable[[Batch], Frame] | None = None,
        done: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Tells everything of a stream after `cursor`, until `unfollow(key)` or its terminal event, and then awaits `done`.

        `render` makes the frames of one event, and is pure; sockets with the same (or an equal) one share the work.
        `truncated` makes the frame that says that events are missing. A key that is in use is replaced. Without a cursor
        (`parse_cursor` found that the client's is malformed) that is said first, and then all that is retained is told.
        """
        self.unfollow(key)
        feed = Feed(hub=current_hub(), stream=stream, cursor=cursor or START, reason="malformed" if cursor is None else "")
        self._follows[key] = self._start(self._pump(key, feed, render, truncated, done), name=f"socket follows {stream.name}")

    def unfollow(self, key: str) -> None:
        """Ends a `follow`; nothing when there is none."""
        task = self._follows.pop(key, None)
        if task is not None:
            task.cancel()

    def work(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs what takes longer beside the socket; its error is told in an `error` frame. Raises `TooMany`."""
        if len(self._works) - len(self._follows) >= conf.SOCKET_WORK_MAX:
            coroutine.close()
            raise TooMany(f"{conf.SOCKET_WORK_MAX} things that this socket asked for are still under way. Wait for one to end.")
        self._start(self._told(coroutine, self._ref), name=f"socket: {name}")

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
        self._offered.append(text)
        del self._offered[: -conf.SOCKET_EPHEMERAL_WAITING]
        if not self._offering and not self._closing:
            self._offering = True
            self._start(self._send_offered(), name="socket offers")

    def end(self, code: int, reason: str) -> None:
        """Closes the socket from outside, between two frames."""
        if not self._closing:
            self._start(self._close(code, reason), name="socket closes")

    def recheck(self) -> None:
        """Has the credential looked at now: something about it may have changed."""
        if self._admission is not None and not self._closing:
            self._start(self._look_again(at_once=True), name="socket credential")

    # Frames that every socket understands.

    async def on_ping(self, frame: Frame) -> None:
        """`ping`: a sign of life."""
        await self.tell(frames.with_ref({"type": "pong", "timestamp": timestamp()}, frame.get("ref")))

    async def on_auth(self, frame: Frame) -> None:
        """`auth {token}`: a newer credential of the same user, before the first one ends."""
        token = frames.text_field(frame, "token", longest=8192)
        if self._admission is None:
            raise InvalidRequest("This socket asks for no credentials.")
        self.work(self._renew(self._admission, token, frame.get("ref")), name="auth")

    # The connection, from its first message to its last.

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Frame]], send: Any) -> None:
        """The ASGI entry point. Not Channels' own: that has a subscription and a hop to a thread for each message."""
        self.scope, self.base_send = scope, send
        self._main = asyncio.current_task()
        OPEN_SOCKETS.inc()
        code: int | str = "server"
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                await self._take(message)
            code = message.get("code") or 1005
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            code = "blocked"
        finally:
            SOCKET_CLOSES.labels(str(code)).inc()
            await self._clean_up()

    async def _take(self, message: Frame) -> None:
        if message["type"] == "websocket.connect":
            await self._enter()
        elif not self._closing:
            # After closing, what was already on its way is read and forgotten.
            await self._receive(message.get("text"))

    async def _enter(self) -> None:
        offered = self.scope.get("subprotocols", ())
        # A browser that offered some insists on one of them.
        await self.accept(subprotocol=next((name for name in (BEARER, *self.subprotocols) if name in offered), None))
        try:
            self.path_args, self.query = _arguments(self.scope)
            if self.credentials:
                try:
                    caller = await authenticate(self.scope)
                except NotAuthenticated:
                    # A page may not want its token in an address: it has some seconds for an `auth` frame.
                    self._set_timer(conf.SOCKET_AUTH_SECONDS, lambda: self.end(1008, INVALID_TOKEN))
                    return
                self._admit(Admission(self.scope, caller))
            await self._open()
        except Exception as error:
            await self._refuse(error)

    def _admit(self, admission: Admission) -> None:
        self._admission, self.caller = admission, admission.caller
        self._set_timer(admission.due_in(), self._on_time)

    async def _open(self) -> None:
        hub = current_hub()
        if hub.closing:
            await self._close(*STOPPING)
            return
        hub.at_end.add(self._stop)
        # Before anything is waited for: what is revoked from here on ends this connection.
        self._connection = Connection(
            id=self.connection_id,
            user_id="" if self._admission is None else self.caller.user_id,
            session=self.session,
            path=self.scope["path"],
            transport="ws",
            end=self.end,
            recheck=self.recheck,
        )
        current_connections().register(self._connection)
        if self._admission is not None and conf.SOCKETS_PER_USER:
            self._slot = await hub.slots.take_socket(self.caller.user_id)
        self._entered = True
        await self.opened()
        self._ready = True
        await self._greet()

    async def _receive(self, text: str | None) -> None:
        SOCKET_FRAMES_IN.inc()
        frame: Frame = {}
        try:
            if not self._rate.allows():
                await self._over_rate()
                return
            if text is None:
                raise InvalidRequest("Binary frames are not understood: send JSON in text frames.")
            if _too_long(text):
                raise TooLarge(f"A frame may have at most {conf.SOCKET_FRAME_MAX_BYTES} bytes.")
            if self._entered and not text.lstrip().startswith("{") and await self.on_text(text):
                return
            frame = frames.parse(text)
            await self._answer(frame)
        except TooLarge as error:
            await self._close(error.close_code, error.message)
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
            admission = await Admission.by_token(self.scope, frames.text_field(frame, "token", longest=8192))
            self._admit(admission)
            await self._open()
        except Exception as error:
            await self._refuse(error)

    async def _over_rate(self) -> None:
        """Told once, then dropped, then closed."""
        message = f"More than {conf.SOCKET_FRAMES_PER_SECOND:g} frames a second."
        if self._rate.refused > conf.SOCKET_FRAMES_BURST:
            await self._close(TooMany.close_code, message)
        elif self._rate.refused == 1:
            raise TooMany(f"{message} This frame and those above the rate are dropped, and then the socket is closed: slow down.")

    async def _tell_error(self, error: Exception, ref: Any) -> None:
        known = translated(error)
        if known is None:
            logger.error("A frame on %s could not be answered.", self.scope["path"], exc_info=error)
            known = ThroughlineError()
        REFUSALS.labels(known.code).inc()
        await self.tell(frames.error_frame(known, ref=ref))

    # Writing.

    async def _greet(self) -> None:
        if self.greets and not self._greeted:
            self._greeted = True
            who = {"user_id": self.caller.user_id} if self._admission is not None else {}
            await self._write(to_json({"type": "connected", **who, **self.greeting(), "timestamp": timestamp()}))

    async def _write(self, *texts: str) -> None:
        """Sends frames in this order; each may wait SOCKET_WRITE_TIMEOUT for a reader that takes nothing."""
        if self._entered and not self._greeted:
            # Whatever `opened` tells, and whatever comes from a stream it follows: `connected` is first.
            await self._greet()
        try:
            await self._write_in_time(texts)
        except TimeoutError:
            logger.info("A reader of %s took nothing for %g s.", self.scope["path"], conf.SOCKET_WRITE_TIMEOUT)
            self._give_up()
        except (OSError, RuntimeError):
            # Servers raise one or the other when the connection ended a moment ago; its last message is on its way to us.
            self._closing = True

    async def _write_in_time(self, texts: Iterable[str]) -> None:
        seconds, now = conf.SOCKET_WRITE_TIMEOUT, asyncio.get_running_loop().time
        async with asyncio.timeout(seconds) as patience:
            began = now()
            for text in texts:
                if self._closing:
                    return
                await self.base_send({"type": "websocket.send", "text": text})
                SOCKET_FRAMES_OUT.inc()
                # A timer for each frame would cost as much as the frame: it is set anew only for a reader that is slow.
                if now() - began > seconds / 10:
                    began = now()
                    patience.reschedule(began + seconds)

    async def _close(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.close(code, _short(reason))
        except (TimeoutError, OSError, RuntimeError):
            self._give_up()

    def _give_up(self) -> None:
        """Ends the connection though its reader does not even take the close frame."""
        self._closing = self._given_up = True
        if self._main is not None:
            self._main.cancel()

    async def _refuse(self, error: Exception) -> None:
        known = translated(error)
        if known is None:
            logger.error("A socket on %s could not be opened.", self.scope["path"], exc_info=error)
            known = ThroughlineError()
        REFUSALS.labels(known.code).inc()
        await self._close(known.close_code, _reason(known))

    async def _send_offered(self) -> None:
        try:
            while self._offered:
                await self._write(self._offered.pop(0))
        finally:
            self._offering = False

    # What runs beside.

    def _start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    async def _told(self, coroutine: Coroutine[Any, Any, None], ref: Any) -> None:
        try:
            await coroutine
        except Exception as error:
            await self._tell_error(error, ref)

    async def _pump(
        self,
        key: str,
        feed: Feed,
        render: Callable[[Event], Iterable[Frame]],
        truncated: Callable[[Batch], Frame] | None,
        done: Callable[[], Awaitable[None]] | None,
    ) -> None:
        try:
            async with feed:
                while (batch := await feed.next()) is not None:
                    if batch.reason and truncated is not None:
                        await self.tell(truncated(batch))
                    await self._write(*batch.texts(render))
                    if batch.terminal and done is not None:
                        await done()
        except Exception:
            # Without this stream the reader would wait for what never comes; closed, it comes back with its cursor.
            logger.exception("A socket could not follow %s.", feed.stream.name)
            await self._close(1011, "This failed; it was logged")
        finally:
            if self._follows.get(key) is asyncio.current_task():
                del self._follows[key]

    # Time.

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def _on_time(self) -> None:
        if not self._closing:
            self._start(self._look_again(at_once=False), name="socket credential")

    async def _look_again(self, *, at_once: bool) -> None:
        """Closes the socket when its credential is no longer good; warns before it ends."""
        admission = self._admission
        if admission is None:
            return
        try:
            holds = await admission.holds(at_once=at_once)
            if admission is not self._admission:
                return  # a newer one came meanwhile, with a timer of its own
            if not holds:
                raise Unauthenticated
            if self._ready:
                await self.allowed()
        except Unavailable:
            # Nobody is thrown out because a store is away; it is asked again.
            logger.warning("Whether the caller may stay on %s cannot be said right now.", self.scope["path"])
        except Exception as error:
            await self._refuse(error)
            return
        if admission.to_warn():
            await self.tell({"type": "token_expiring", "expires_at": timestamp(admission.caller.expires_at)})
        self._set_timer(admission.due_in(), self._on_time)

    async def _renew(self, old: Admission, token: str, ref: Any) -> None:
        new = await Admission.by_token(self.scope, token)
        if new.caller.user_id != old.caller.user_id:
            raise Forbidden("This token is of another user. Open another socket for it.")
        self._admit(new)
        ends = new.caller.expires_at
        until = {"expires_at": timestamp(ends)} if ends is not None else {}
        await self.tell(frames.with_ref({"type": "authenticated", **until}, ref))

    def _stop(self) -> None:
        self.end(*STOPPING)

    # The end.

    async def _clean_up(self) -> None:
        """Leaves nothing behind: no task, subscription, lease or timer. One part that fails does not keep the others."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        hub = current_hub()
        hub.at_end.discard(self._stop)
        works = [task for task in self._works if task is not asyncio.current_task()]
        for task in works:
            task.cancel()
        await asyncio.gather(*works, return_exceptions=True)
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
        raise NotFound("There is no WebSocket at this address.")


def _arguments(scope: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    path: dict[str, str] = {}
    for name, value in scope.get("url_route", {}).get("kwargs", {}).items():
        if not value.isprintable():
            raise NotFound("There is no WebSocket at this address.")
        path[name] = value
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    return path, storable(query)


def _too_long(text: str) -> bool:
    limit = conf.SOCKET_FRAME_MAX_BYTES
    return len(text) > limit or (not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > limit)


def _reason(error: ThroughlineError) -> str:
    """The close reason: the seed's words where it has some."""
    if isinstance(error, Unauthenticated):
        return INVALID_TOKEN
    if isinstance(error, Forbidden):
        return "Forbidden"
    return error.message


def _short(reason: str) -> str:
    """As much of a reason as a close frame holds: 123 bytes (RFC 6455, 5.5)."""
    return inspect.cleandoc(reason).encode()[:123].decode(errors="ignore")
