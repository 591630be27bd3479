"""How long a test waits for what must come: longer where others use the machine, too (TEST_PATIENCE, a factor; CI: 3).

It stretches limits only. A wait ends as soon as what it waits for is there, so patience costs a passing test nothing.
"""

import os

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))


def patiently(seconds: float) -> float:
    """The limit that a wait of at most `seconds` has on this machine, in seconds."""
    return seconds * PATIENCE
