"""What a request presents to say who is asking, read from an ASGI scope without any I/O."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from django.conf import settings
from django.http.cookie import parse_cookie
from rest_framework.exceptions import AuthenticationFailed

Scope = Mapping[str, Any]
Kind = Literal["jwt", "api_key", "session", "ticket"]

API_KEY = re.compile(r"sk_[0-9a-f]{32}")
SESSION_KEY = re.compile(r"[!-~]{8,4096}")
LONGEST_CREDENTIAL = 8192
"""In characters; more is refused before anything is computed from it."""

BEARER = "bearer"
"""The subprotocol of a WebSocket that is followed by a token."""

QUERY_NAMES: tuple[tuple[str, str], ...] = (("ticket", "ticket"), ("token", "token"), ("api_key", "API key"))
"""The query parameters that carry credentials, in the order in which they are asked, and what each is called."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential as presented: its kind and the secret itself, which no repr or log shows."""

    kind: Kind
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything a request presents, in the order in which it counts.

    The order: `Authorization: Bearer`, a WebSocket's subprotocols `bearer, <token>`, session cookie, `?ticket=`,
    `?token=`, `?api_key=`.
    The first that is present decides; only a session cookie that is not logged in is passed over.
    """

    presented: tuple[Credential, ...]

    @classmethod
    def from_scope(cls, scope: Scope) -> "Credentials":
        """The credentials of an ASGI HTTP or WebSocket scope.

        Raises DRF's AuthenticationFailed when the first one present cannot be one at all
        (empty, given twice, too long, not of its kind); later ones then do not matter.
        """
        presented: list[Credential] = []
        for credential in _in_order(scope):
            presented.append(credential)
            if credential.kind != "session":
                break
        return cls(tuple(presented))

    def __iter__(self) -> Iterator[Credential]:
        return iter(self.presented)


def header_values(scope: Scope, name: bytes) -> list[str]:
    """All values of the header `name` (lower case) in a scope."""
    return [value.decode("latin-1").strip() for key, value in scope.get("headers", ()) if key.lower() == name]


def cookies(scope: Scope) -> dict[str, str]:
    """The cookies of a scope; HTTP/2 may send them as several headers (RFC 9113, 8.2.3)."""
    return parse_cookie("; ".join(header_values(scope, b"cookie")))


def _in_order(scope: Scope) -> Iterator[Credential]:
    yield from _bearer(scope)
    yield from _subprotocol(scope)
    session_key = cookies(scope).get(settings.SESSION_COOKIE_NAME, "")
    # Anything else cannot be a session of ours (another application on this host may use the name): absent.
    if SESSION_KEY.fullmatch(session_key):
        yield Credential("session", session_key)
    yield from _from_query(scope)


def _bearer(scope: Scope) -> Iterator[Credential]:
    # Other schemes belong to others (a proxy's Basic, for one) and say nothing to us.
    values = [value for value in header_values(scope, b"authorization") if value.split(" ", 1)[0].lower() == "bearer"]
    if not values:
        return
    if len(values) > 1:
        raise AuthenticationFailed("There are several `Authorization: Bearer` headers. Send one.")
    secret = _checked(values[0][len("bearer") :].strip(), "token in `Authorization: Bearer <token>`")
    yield Credential("api_key" if secret.startswith("sk_") else "jwt", secret)


def _subprotocol(scope: Scope) -> Iterator[Credential]:
    # The one header that a browser's page can set on a WebSocket: `new WebSocket(url, ["bearer", token])`.
    offered = scope.get("subprotocols") or ()
    if BEARER in offered:
        place = list(offered).index(BEARER) + 1
        secret = _checked(offered[place] if place < len(offered) else "", "token in the subprotocols `bearer, <token>`")
        yield Credential("api_key" if secret.startswith("sk_") else "jwt", secret)


def _from_query(scope: Scope) -> Iterator[Credential]:
    query = scope.get("query_string", b"")
    pairs = parse_qsl(query.decode("latin-1") if isinstance(query, bytes) else query, keep_blank_values=True)
    for name, called in QUERY_NAMES:
        values = [value for key, value in pairs if key == name]
        if not values:
            continue
        if len(values) > 1:
            raise AuthenticationFailed(f"`?{name}=` is given several times. Send one {called}.")
        yield _from_parameter(name, _checked(values[0], f"{called} in `?{name}=`"))


def _from_parameter(name: str, secret: str) -> Credential:
    if name == "ticket":
        return Credential("ticket", secret)
    if secret.startswith("sk_"):
        return Credential("api_key", secret)
    if name == "api_key":
        raise AuthenticationFailed("This is not an API key: one is `sk_` and 32 hexadecimal digits.")
    return Credential("jwt", secret)


def _checked(secret: str, called: str) -> str:
    if not secret:
        raise AuthenticationFailed(f"The {called} is empty.")
    if len(secret) > LONGEST_CREDENTIAL:
        raise AuthenticationFailed(f"The {called} is longer than {LONGEST_CREDENTIAL} characters.")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise AuthenticationFailed(f"The {called} has characters that none of ours has.")
    if secret.startswith("sk_") and not API_KEY.fullmatch(secret):
        raise AuthenticationFailed("This is not an API key: one is `sk_` and 32 hexadecimal digits.")
    return secret
