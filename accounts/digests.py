"""Digests under which secrets are stored and remembered."""

import hashlib


def digest(*parts: str) -> str:
    """SHA-256 of the parts, as 64 hex digits; parts are kept apart, so ("a", "bc") differs from ("ab", "c").

    A plain hash is enough because the secrets stored this way (keys, tickets) are 128 random bits or more.
    """
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
