"""Whether the one who opened a stream may still read it."""

import asyncio
import time
from typing import Any

from accounts.authentication import still_valid
from accounts.caller import Caller
from accounts.conf import conf as accounts_conf
from events.conf import conf

PATIENCE_SECONDS = 0.25
"""How long events wait for the answer. A database that is away must not hold them up; the answer counts when it comes."""

ANSWER_SECONDS = 2.0
"""How soon a quiet stream looks again for an answer that did not come at once."""


class Guard:
    """Asks again in time, and at the end of the credential: revoked and expired ones end open streams.

    A credential may be trusted for CALLER_CACHE_SECONDS after it was looked up: so much earlier it is
    asked about, for the stream to end within AUTH_RECHECK_SECONDS.
    """

    def __init__(self, scope: dict[str, Any], caller: Caller) -> None:
        self._scope = scope
        self._caller = caller
        self._pause = max(conf.AUTH_RECHECK_SECONDS - accounts_conf.CALLER_CACHE_SECONDS, conf.AUTH_RECHECK_SECONDS / 4)
        self._due = time.time() + self._pause
        self._asking: asyncio.Task[bool] | None = None

    @property
    def due(self) -> float:
        """The monotonic time at which `allows` is to be asked again, though nothing happens on the stream."""
        now, ends = time.time(), self._caller.expires_at
        due = now + ANSWER_SECONDS if self._asking is not None else self._due
        return time.monotonic() + (due if ends is None else min(due, ends)) - now

    async def allows(self) -> bool:
        """True until the credential is no longer good."""
        now, ends = time.time(), self._caller.expires_at
        if ends is not None and now >= ends:
            return False
        if self._asking is None:
            if now < self._due:
                return True
            self._asking = asyncio.create_task(still_valid(self._scope, self._caller), name="credential of a stream")
            await asyncio.wait([self._asking], timeout=PATIENCE_SECONDS)
        if not self._asking.done():
            return True
        valid = self._asking.result()
        self._asking, self._due = None, time.time() + self._pause
        return valid
