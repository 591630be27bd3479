"""OAuth 2.1 as a client: registration (RFC 7591), PKCE (RFC 7636), the redirect, and the code for tokens. MCP adds RFC 8707."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, quote, urlencode

from events.addresses import split_url
from plugins.fetching import Answer, BadAnswer, Question, fetch

CLIENT_NAME = "Throughline"
LONGEST_TOKEN = 16_384
LONGEST_CLIENT_ID = 500
LONGEST_LIFE = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Client:
    """What an authorization server knows us as; `secret` is empty for a public client."""

    id: str
    secret: str = ""
    auth: str = "client_secret_basic"

    def __repr__(self) -> str:
        return f"Client({self.id})"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was exchanged for. `expires_in`: seconds; None when the server did not say."""

    access: str
    refresh: str
    expires_in: int | None
    scopes: str

    def __repr__(self) -> str:
        return "Tokens()"


async def register(*, registration_endpoint: str, redirect_uri: str, scopes: str, auth: str) -> Client:
    """Registers us as a public client (RFC 7591). Raises `FetchFailed` and `BadAddress`."""
    wanted: dict[str, Any] = {
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    answer = await fetch(Question(registration_endpoint, json=wanted | ({"scope": scopes} if scopes else {})))
    if not answer.is_success:
        raise BadAnswer(f"The authorization server did not register us: {_reason(answer)}")
    told = answer.json_object()
    client_id, secret = told.get("client_id"), told.get("client_secret") or ""
    if not _is_text(client_id, LONGEST_CLIENT_ID) or not (secret == "" or _is_text(secret, LONGEST_TOKEN)):
        raise BadAnswer("The authorization server registered us without a usable client_id.")
    # It may give a secret though none was asked for, and may say how it wants to see it.
    told_auth = told.get("token_endpoint_auth_method")
    return Client(client_id, secret, told_auth if told_auth in {"client_secret_post", "client_secret_basic"} else auth)


def new_secret() -> str:
    """256 random bits in the alphabet of URLs: a `state`, or a PKCE verifier (RFC 7636 section 4.1)."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def authorization_url(
    *, endpoint: str, client_id: str, redirect_uri: str, state: str, verifier: str, scopes: str, resource: str
) -> str:
    """Where the user's browser goes to approve. A query that the endpoint has is kept (RFC 6749 section 3.1)."""
    ours = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        "resource": resource,
    } | ({"scope": scopes} if scopes else {})
    parts = split_url(endpoint)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in ours]
    return parts._replace(query=urlencode([*kept, *ours.items()])).geturl()


async def exchange(*, token_endpoint: str, client: Client, code: str, verifier: str, redirect_uri: str, resource: str) -> Tokens:
    """The tokens for a code (RFC 6749 section 4.1.3). Raises `FetchFailed` and `BadAddress`."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client.id,
        "code_verifier": verifier,
        "resource": resource,
    }
    basic = None
    if client.secret and client.auth == "client_secret_post":
        form["client_secret"] = client.secret
    elif client.secret:
        # Section 2.3.1: both are form-encoded before they are put into the header.
        basic = quote(client.id, safe=""), quote(client.secret, safe="")
    answer = await fetch(Question(token_endpoint, form=form, basic_auth=basic))
    if not answer.is_success:
        raise BadAnswer(f"The authorization server gave no token: {_reason(answer)}")
    return _tokens(answer.json_object())


def _tokens(told: dict[str, Any]) -> Tokens:
    access, refresh, kind = told.get("access_token"), told.get("refresh_token") or "", told.get("token_type")
    if not _is_text(access, LONGEST_TOKEN):
        raise BadAnswer("The authorization server answered without a usable access_token.")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadAnswer("The authorization server gave a token that is no Bearer token.")
    life, scope = told.get("expires_in"), told.get("scope")
    return Tokens(
        access=access,
        refresh=refresh if _is_text(refresh, LONGEST_TOKEN) else "",
        expires_in=_seconds(life),
        scopes=scope if isinstance(scope, str) else "",
    )


def _is_text(value: object, longest: int) -> TypeGuard[str]:
    """Whether this can be a token or an id: visible ASCII (RFC 6749 appendix A), not too long."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isascii() and value.isprintable()


def _seconds(life: object) -> int | None:
    """`expires_in`, which some servers send as text; None for what is no reasonable time."""
    try:
        seconds = int(life)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LONGEST_LIFE else None


def _reason(answer: Answer) -> str:
    """What the server says of its refusal (RFC 6749 section 5.2), or its status."""
    try:
        told = answer.json_object()
    except BadAnswer:
        told = {}
    words = " ".join(str(told[name]) for name in ("error", "error_description") if isinstance(told.get(name), str))
    return " ".join(words.split())[:300] or f"it answered {answer.status}."
