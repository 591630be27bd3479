"""How long another server asks to be left alone: the header Retry-After (RFC 9110 section 10.2.3). No I/O."""

import time
from email.utils import parsedate_to_datetime


def seconds_to_wait(header: str) -> float:
    """The seconds that a `Retry-After` names, as a number or as a date; 0 for none, and for what is neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
