"""How many frames one connection may send: a token bucket."""

import time


class Rate:
    """Allows `per_second` on average and `burst` at once; 0 a second: everything.

    Counts what it refused since it was last full, for whoever must decide when enough is enough.
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self.refused = 0
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Whether one more is allowed now; it counts as taken then."""
        if not self._per_second:
            return True
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left >= self._burst:
            self.refused = 0
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
