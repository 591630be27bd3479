"""Whether the one who opened a stream may still read it."""

import asyncio
import time
from typing import Any

from accounts.authentication import still_valid
from accounts.caller import Caller
from events.conf import conf

PATIENCE_SECONDS = 0.25
"""How long events wait for the answer. A database that is away must not hold them up; the answer counts when it comes."""


class Guard:
    """Asks again every AUTH_RECHECK_SECONDS, and at the end of the credential: revoked and expired ones end open streams."""

    def __init__(self, scope: dict[str, Any], caller: Caller) -> None:
        self._scope = scope
        self._caller = caller
        self._due = time.time() + conf.AUTH_RECHECK_SECONDS
        self._asking: asyncio.Task[bool] | None = None

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
        self._asking, self._due = None, time.time() + conf.AUTH_RECHECK_SECONDS
        return valid
