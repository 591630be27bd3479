"""Signatures of webhooks, made and checked as Standard Webhooks has them: https://www.standardwebhooks.com. No I/O.

`webhook-signature: v1,<base64>` is an HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; several are separated by
spaces, while a secret is being replaced. A secret is `whsec_` and base64.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from events.exceptions import InvalidRequest, Unauthenticated

PREFIX = "whsec_"
ID = re.compile(r"[!-~]{1,200}", re.ASCII)


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> bytes:
    """The key in a secret. Raises `InvalidRequest`."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 16 <= len(key) <= 128:
        raise InvalidRequest(f"A secret is {PREFIX} and the base64 of 16 to 128 bytes.")
    return key


def sign(secret: str, *, id: str, at: int, body: bytes) -> str:
    """The header `webhook-signature`; `at` in epoch seconds."""
    content = b".".join((id.encode("ascii"), str(at).encode("ascii"), body))
    return f"v1,{base64.b64encode(hmac.new(check_secret(secret), content, hashlib.sha256).digest()).decode()}"


def verify(secret: str, *, id: str, at: str, signatures: str, body: bytes, now: float, tolerance: float) -> None:
    """Returns when one of the signatures is right and recent. Raises `Unauthenticated`, which says what is wrong."""
    if not (ID.fullmatch(id) and at and signatures):
        raise Unauthenticated("Sign the request: the headers webhook-id, webhook-timestamp and webhook-signature are needed.")
    if not re.fullmatch(r"[0-9]{1,12}", at, re.ASCII) or abs(now - int(at)) > tolerance:
        raise Unauthenticated(
            f"webhook-timestamp must be the time of sending, in epoch seconds, within {tolerance:g} seconds of now."
        )
    wanted = sign(secret, id=id, at=int(at), body=body).encode()
    # All of them, in constant time each: how long it takes says nothing of the signature.
    found = [hmac.compare_digest(wanted, each.encode("utf-8", "replace")) for each in signatures.split(" ")[:16]]
    if not any(found):
        raise Unauthenticated("webhook-signature does not fit this body and the secret of this address.")
