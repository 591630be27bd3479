"""Whether the one who opened a stream may still read it."""

import asyncio
import random
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
        self.scope = scope
        self.caller = caller
        self._pause = max(conf.AUTH_RECHECK_SECONDS - accounts_conf.CALLER_CACHE_SECONDS, conf.AUTH_RECHECK_SECONDS / 4)
        # Those who came back together after a process died must not all be asked about together ever after.
        self._due = time.time() + self._pause * random.random()  # noqa: S311 - nothing secret
        self._fresh = False
        self._asking: asyncio.Task[bool] | None = None

    def ask_now(self) -> None:
        """Has the next `allows` ask, and ask the database: something about the credential has changed."""
        self._due, self._fresh = 0.0, True

    @property
    def due(self) -> float:
        """The monotonic time at which `allows` is to be asked again, though nothing happens on the stream."""
        now, ends = time.time(), self.caller.expires_at
        due = now + ANSWER_SECONDS if self._asking is not None else self._due
        return time.monotonic() + (due if ends is None else min(due, ends)) - now

    async def allows(self) -> bool:
        """True until the credential is no longer good."""
        now, ends = time.time(), self.caller.expires_at
        if ends is not None and now >= ends:
            return False
        if self._asking is None:
            if now < self._due:
                return True
            asking = still_valid(self.scope, self.caller, fresh=self._fresh)
            self._asking = asyncio.create_task(asking, name="credential of a stream")
            # Now, not with the answer: what changes meanwhile is asked about once more.
            self._due, self._fresh = now + self._pause, False
            await asyncio.wait([self._asking], timeout=PATIENCE_SECONDS)
        if not self._asking.done():
            return True
        valid = self._asking.result()
        self._asking = None
        return valid
