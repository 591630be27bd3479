"""Settings: how every app declares them, and those of accounts."""

from typing import Any

from django.conf import settings as django_settings


class AppSettings:
    """Base of each app's settings class: names, types, defaults and meaning in one place.

    A subclass annotates upper-case attributes with a type and a default, followed by a
    docstring. `realtime_project.settings` reads each name from the environment; reading
    one here asks Django's settings first, so `override_settings` works in tests.
    """

    def __getattribute__(self, name: str) -> Any:
        if name.isupper() and hasattr(django_settings, name):
            return getattr(django_settings, name)
        return super().__getattribute__(name)


class AccountsSettings(AppSettings):
    """What accounts can be told."""

    ACCESS_TOKEN_MINUTES: int = 60
    """Life of an access token, in minutes."""

    REFRESH_TOKEN_DAYS: int = 14
    """Life of a refresh token, in days."""

    JWT_ALGORITHM: str = "HS256"
    """The one algorithm accepted in tokens: HS256, or RS256 with JWT_PUBLIC_KEY or JWT_JWKS_URL."""

    JWT_SIGNING_KEY: str = ""
    """Key that signs tokens; empty: Django's SECRET_KEY."""

    JWT_PUBLIC_KEY: str = ""
    """PEM of the key that verifies RS256 tokens."""

    JWT_JWKS_URL: str = ""
    """Address of a JWK set that verifies RS256 tokens."""

    JWT_AUDIENCE: str = ""
    """The `aud` that tokens must carry; empty: not checked. Set it when another service issues the tokens."""

    JWT_ISSUER: str = ""
    """The `iss` that tokens must carry; empty: not checked."""

    JWT_LEEWAY_SECONDS: float = 0.0
    """By how much the clock of a token's issuer may differ from ours, in seconds."""

    JWKS_CACHE_SECONDS: float = 300.0
    """How long a fetched JWK set is used before it is fetched again, in seconds."""

    JWKS_REFETCH_SECONDS: float = 30.0
    """Least time between fetches of the JWK set because of an unknown key id or after a failure, in seconds."""

    TICKET_SECONDS: int = 30
    """Life of a one-time stream ticket, in seconds."""

    CALLER_CACHE_SECONDS: float = 5.0
    """How long a verified credential is trusted before the database is asked again, in seconds."""

    CALLER_CACHE_SIZE: int = 10_000
    """Most verified credentials that one process remembers."""

    DATABASE_THREADS: int = 8
    """Threads of one process that run database work for async code. Keep it below DATABASE_POOL_SIZE."""

    LOGIN_ATTEMPTS_PER_MINUTE: int = 20
    """Password attempts per user name and address in a minute, over all processes; 0: no limit."""

    API_KEYS_PER_USER: int = 100
    """Most API keys in force that one user may have."""


conf = AccountsSettings()
