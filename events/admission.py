"""For whom a socket is open, by which credential, and until when."""

import time
from typing import Any, Self

from accounts.authentication import authenticate, still_valid
from accounts.caller import Caller
from events.conf import conf
from events.guard import Guard


class Admission:
    """A verified caller and the credential that says so: what the socket came with, or the token of its latest `auth`."""

    def __init__(self, scope: dict[str, Any], caller: Caller) -> None:
        self.caller = caller
        self._scope = scope
        self._guard = Guard(scope, caller)
        self._warned = caller.expires_at is None

    @classmethod
    async def by_token(cls, scope: dict[str, Any], token: str) -> Self:
        """The admission by a token or API key that was sent in a frame; raises as `authenticate`."""
        scope = {
            "type": "websocket",
            "path": scope["path"],
            "headers": [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))],
        }
        return cls(scope, await authenticate(scope))

    def due_in(self) -> float:
        """In how many seconds it is to be looked at again."""
        due = self._guard.due - time.monotonic()
        if not self._warned:
            due = min(due, self._warn_at() - time.time())
        return max(0.0, due)

    def to_warn(self) -> bool:
        """Whether the credential ends soon; True once."""
        if self._warned or time.time() < self._warn_at():
            return False
        self._warned = True
        return True

    async def holds(self, *, at_once: bool) -> bool:
        """Whether the credential is still good; `at_once`: by what the database says now, and not a moment ago."""
        if at_once:
            return await still_valid(self._scope, self.caller, fresh=True)
        return await self._guard.allows()

    def _warn_at(self) -> float:
        return (self.caller.expires_at or 0.0) - conf.SOCKET_EXPIRY_WARNING_SECONDS
