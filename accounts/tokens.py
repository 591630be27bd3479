"""JSON Web Tokens: issued and verified with ONE pinned algorithm.

simplejwt's `TokenBackend` (PyJWT beneath it) signs and verifies: it pins the algorithm and
checks audience, issuer and times. Its `Token` classes are not used: they look users up by a
setting of the project, insist on claims that tokens from elsewhere do not have, and bind to
the blacklist app. Nothing here touches the database.
"""

import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from django.utils.encoding import force_str
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

from accounts.conf import conf
from accounts.exceptions import IdentityUnavailable, TokensNotIssued

ACCESS = "access"
REFRESH = "refresh"
KEY_FETCH_TIMEOUT = 5.0
"""Seconds to wait for the server that has the JWK set."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says: whose it is, until when (epoch seconds), and the stamp of a refresh token."""

    user_id: str
    expires_at: float
    stamp: str = ""


class KeySet(jwt.PyJWKClient):
    """A JWK set behind an address: cached, and asked again for an unknown key, or after a failure, only now and then."""

    def __init__(self, url: str, *, lifespan: float, cooldown: float) -> None:
        super().__init__(url, lifespan=lifespan, timeout=KEY_FETCH_TIMEOUT, cooldown_duration=cooldown)
        self._failed_at: float | None = None

    def fetch_data(self) -> Any:
        """Fetch the set, unless that failed a moment ago: each caller would wait for the same failure.

        Raises PyJWKClientConnectionError, also for an answer that is not a usable JWK set.
        """
        if self._failed_at is not None and time.monotonic() - self._failed_at < self.cooldown_duration:
            raise jwt.PyJWKClientConnectionError("the last fetch of the JWK set failed")
        try:
            return super().fetch_data()
        except (jwt.PyJWTError, ValueError, OSError) as error:
            self._failed_at = time.monotonic()
            raise jwt.PyJWKClientConnectionError("the JWK set cannot be fetched") from error


class SigningBackend(TokenBackend):
    """simplejwt's backend with our key set, so that an unreachable key server is 503 and not a bad token."""

    def __init__(self, *args: Any, key_set: KeySet | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.jwks_client = key_set

    def get_verifying_key(self, token: Any) -> Any:
        """The key that must have signed `token`; raises TokenBackendError or IdentityUnavailable."""
        if self.jwks_client is None:
            return super().get_verifying_key(token)
        try:
            return self.jwks_client.get_signing_key_from_jwt(token).key
        except jwt.PyJWKClientConnectionError as error:
            raise IdentityUnavailable from error
        except jwt.PyJWKClientError as error:
            raise TokenBackendError("unknown key") from error


def _pem(value: str) -> str:
    """A PEM from an environment variable, where line ends are often written as backslash and n."""
    return value.replace("\\n", "\n")


@lru_cache(maxsize=8)
def _backend_for(
    algorithm: str,
    signing: str,
    public: str,
    url: str,
    audience: str,
    issuer: str,
    leeway: float,
    lifespan: float,
    cooldown: float,
) -> SigningBackend:
    return SigningBackend(
        algorithm,
        signing or None,
        public,
        audience or None,
        issuer or None,
        leeway=leeway,
        key_set=KeySet(url, lifespan=lifespan, cooldown=cooldown) if url and algorithm != "HS256" else None,
    )


def _backend() -> SigningBackend:
    signing = _pem(conf.JWT_SIGNING_KEY)
    if conf.JWT_ALGORITHM == "HS256":
        signing = signing or force_str(settings.SECRET_KEY)
    return _backend_for(
        conf.JWT_ALGORITHM,
        signing,
        _pem(conf.JWT_PUBLIC_KEY),
        conf.JWT_JWKS_URL,
        conf.JWT_AUDIENCE,
        conf.JWT_ISSUER,
        conf.JWT_LEEWAY_SECONDS,
        conf.JWKS_CACHE_SECONDS,
        conf.JWKS_REFETCH_SECONDS,
    )


def _issue(kind: str, *, user_id: str, seconds: float, **claims: Any) -> str:
    backend = _backend()
    if backend.signing_key is None:
        raise TokensNotIssued
    now = int(time.time())
    payload = {"token_type": kind, "sub": user_id, "iat": now, "exp": now + int(seconds), "jti": uuid.uuid4().hex}
    return backend.encode(payload | claims)


def issue_access(*, user_id: str, organizations: tuple[str, ...]) -> str:
    """An access token for the user with this public id; lives ACCESS_TOKEN_MINUTES. Raises TokensNotIssued."""
    return _issue(ACCESS, user_id=user_id, seconds=conf.ACCESS_TOKEN_MINUTES * 60, org=list(organizations))


def issue_refresh(*, user_id: str, stamp: str) -> str:
    """A refresh token; lives REFRESH_TOKEN_DAYS. `stamp` changes with the password and ends it. Raises TokensNotIssued."""
    return _issue(REFRESH, user_id=user_id, seconds=conf.REFRESH_TOKEN_DAYS * 86400, stamp=stamp)


def read_access(token: str) -> Claims:
    """The claims of a valid access token.

    A token without `token_type` is taken as an access token, for issuers other than us.
    Raises AuthenticationFailed, or IdentityUnavailable when the key server is away.
    """
    payload = _verified(token)
    if payload.get("token_type", ACCESS) != ACCESS:
        raise AuthenticationFailed("This is not an access token. Exchange a refresh token for one first.")
    return _claims(payload)


def read_refresh(token: str) -> Claims:
    """The claims of a valid refresh token. Raises AuthenticationFailed or IdentityUnavailable."""
    payload = _verified(token)
    if payload.get("token_type") != REFRESH:
        raise AuthenticationFailed("This is not a refresh token.")
    return _claims(payload)


def _verified(token: str) -> dict[str, Any]:
    try:
        # simplejwt annotates the encoded token as its own class; it is the string.
        return _backend().decode(token)  # type: ignore[arg-type]
    except TokenBackendExpiredToken as error:
        raise AuthenticationFailed("The token has expired. Get a new one.") from error
    except (TokenBackendError, jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # Beyond the library's own errors: JSON nested too deeply, numbers out of range, a key of another type.
        raise AuthenticationFailed("The token is not valid.") from error


def _claims(payload: dict[str, Any]) -> Claims:
    user_id = payload.get("sub")
    if not isinstance(user_id, str) or not user_id or len(user_id) > 128 or not user_id.isprintable():
        raise AuthenticationFailed("The token is not valid: it has no usable `sub`.")
    if "exp" not in payload:
        raise AuthenticationFailed("The token is not valid: it never expires (no `exp`).")
    return Claims(
        user_id=user_id, expires_at=float(payload["exp"]) + conf.JWT_LEEWAY_SECONDS, stamp=str(payload.get("stamp", ""))
    )
