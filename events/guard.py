"""Whether the one who opened a stream may still read it."""

import time
from typing import Any

from accounts.authentication import still_valid
from accounts.caller import Caller
from events.conf import conf


class Guard:
    """Asks again every AUTH_RECHECK_SECONDS, and at the end of the credential: revoked and expired ones end open streams."""

    def __init__(self, scope: dict[str, Any], caller: Caller) -> None:
        self._scope = scope
        self._caller = caller
        self._due = 0.0
        self._wait()

    def _wait(self) -> None:
        ends = self._caller.expires_at
        recheck = time.time() + conf.AUTH_RECHECK_SECONDS
        self._due = recheck if ends is None else min(recheck, ends)

    async def allows(self) -> bool:
        """True until the credential is no longer good."""
        if time.time() < self._due:
            return True
        if not await still_valid(self._scope, self._caller):
            return False
        self._wait()
        return True
