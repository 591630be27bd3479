"""How long one socket may stay open: as long as its credential is good. Told before the end, and looked at in time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from accounts.caller import Caller
from events.admission import Admission
from events.event import to_json
from events.exceptions import Forbidden, Unauthenticated, Unavailable
from events.frames import timestamp
from events.outlet import Outlet
from events.works import Works

logger = logging.getLogger(__name__)


class Term:
    """The time of one connection, from its first credential on; a newer one of the same user prolongs it.

    `allowed` raises where the caller may no longer be here, whatever his credential; `refuse` ends the connection.
    """

    def __init__(
        self,
        outlet: Outlet,
        works: Works,
        *,
        allowed: Callable[[], Awaitable[None]],
        refuse: Callable[[Exception], Awaitable[None]],
    ) -> None:
        self._outlet = outlet
        self._works = works
        self._allowed = allowed
        self._refuse = refuse
        self._admission: Admission | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        """Has `call` called after so long, unless something else is to happen first: there is one timer."""
        self.end()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def begin(self, admission: Admission) -> Caller:
        """The term of this credential; its caller."""
        self._admission = admission
        self.set_timer(admission.due_in(), self._on_time)
        return admission.caller

    def prolong(self, admission: Admission) -> Caller:
        """The same with a newer credential. Raises `Forbidden` when it is another user's."""
        if self._admission is not None and admission.caller.user_id != self._admission.caller.user_id:
            raise Forbidden("This token is of another user. Open another socket for it.")
        return self.begin(admission)

    def recheck(self) -> None:
        """Has the credential looked at now: something about it may have changed."""
        self._look(at_once=True)

    def end(self) -> None:
        """Nothing more will happen by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self) -> None:
        self._look(at_once=False)

    def _look(self, *, at_once: bool) -> None:
        if self._admission is not None and not self._outlet.closing:
            self._works.start(self._look_again(self._admission, at_once=at_once), name="socket credential")

    async def _look_again(self, admission: Admission, *, at_once: bool) -> None:
        """Closes the socket when its credential is no longer good; warns before it ends."""
        try:
            holds = await admission.holds(at_once=at_once)
            if admission is not self._admission:
                return  # a newer one came meanwhile, with a timer of its own
            if not holds:
                raise Unauthenticated
            await self._allowed()
        except Unavailable:
            # Nobody is thrown out because a store is away; it is asked again.
            logger.warning("Whether %s may stay cannot be said right now.", admission.caller.user_id)
        except Exception as error:
            await self._refuse(error)
            return
        if admission.to_warn():
            warning = {"type": "token_expiring", "expires_at": timestamp(admission.caller.expires_at)}
            await self._outlet.write(to_json(warning))
        self.set_timer(admission.due_in(), self._on_time)
