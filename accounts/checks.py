"""System checks of the settings of accounts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Advice
from django.utils.encoding import force_bytes

from accounts.conf import conf

ALGORITHMS = ("HS256", "RS256")


def check_settings(**_: Any) -> list[CheckMessage]:
    """Settings with which tokens could not be verified safely, or at all."""
    return [*_check_algorithm(), *_check_key_length(), *_check_csrf()]


def _check_algorithm() -> list[CheckMessage]:
    if conf.JWT_ALGORITHM not in ALGORITHMS:
        return [Error(f"JWT_ALGORITHM is {conf.JWT_ALGORITHM!r}.", hint="Use HS256 or RS256.", id="accounts.E001")]
    if conf.JWT_ALGORITHM == "RS256" and not (conf.JWT_PUBLIC_KEY or conf.JWT_JWKS_URL):
        return [Error("RS256 tokens cannot be verified.", hint="Set JWT_PUBLIC_KEY or JWT_JWKS_URL.", id="accounts.E002")]
    if conf.JWT_JWKS_URL and not conf.JWT_JWKS_URL.startswith(("https://", "http://")):
        return [Error("JWT_JWKS_URL is not an http(s) address.", id="accounts.E003")]
    if conf.JWT_JWKS_URL and not conf.JWT_AUDIENCE:
        hint = "Set JWT_AUDIENCE: without it a token that the same service issued for another application is accepted."
        return [Advice("JWT_JWKS_URL is set but JWT_AUDIENCE is not.", hint=hint, id="accounts.W001")]
    return []


def _check_key_length() -> list[CheckMessage]:
    if conf.JWT_ALGORITHM == "HS256" and len(force_bytes(conf.JWT_SIGNING_KEY or settings.SECRET_KEY)) < 32:
        hint = "RFC 7518, section 3.2, wants at least 32 bytes for HS256. Set a longer JWT_SIGNING_KEY or SECRET_KEY."
        return [Advice("The key that signs tokens is short.", hint=hint, id="accounts.W002")]
    return []


def _check_csrf() -> list[CheckMessage]:
    if settings.CSRF_USE_SESSIONS:
        return [Error("CSRF_USE_SESSIONS is set.", hint="Pages read the CSRF token from its cookie.", id="accounts.E004")]
    return []
