"""Settings of the project as a whole: addresses, stores, processes."""

from accounts.conf import AppSettings
from realtime_project.running import DEFAULT_DATA_DIR, placeholder_key, told


class ProjectSettings(AppSettings):
    """What the server can be told."""

    HOST: str = "127.0.0.1"
    """Address that `manage.py serve` listens on."""

    PORT: int = 8000
    """Port that `manage.py serve` listens on."""

    WEB_PROCESSES: int = 1
    """How many web processes `manage.py serve` starts."""

    DATA_DIR: str = DEFAULT_DATA_DIR
    """Where the embedded Postgres and Valkey, and generated secrets, live."""

    DATABASE_URL: str = told("DATABASE_URL")
    """A Postgres to use; not set: the embedded one."""

    REDIS_URL: str = told("REDIS_URL")
    """A Redis 7 or Valkey to use; not set: the embedded one."""

    NATS_URL: str = told("NATS_URL")
    """A NATS with JetStream to use with EVENT_BROKER=nats (several servers: with commas between); not set: the embedded one."""

    DATABASE_POOL_SIZE: int = 14
    """Most database connections of one process; at least EVENTS_THREADS and DATABASE_THREADS together."""

    SECRET_KEY: str = told("SECRET_KEY") or placeholder_key()
    """Django's signing key; not set: `manage.py serve` makes one, kept in DATA_DIR; processes started apart need the same."""

    DEBUG: bool = False
    """Django's debug pages; never on a public address."""

    ALLOWED_HOSTS: list[str] = ["localhost", "127.0.0.1", "[::1]"]  # noqa: RUF012 - a declaration, never mutated
    """Host names that requests may be for."""

    CSRF_TRUSTED_ORIGINS: list[str] = []  # noqa: RUF012
    """Origins, besides our own, from which pages may post with a session cookie."""

    CORS_ALLOWED_ORIGINS: list[str] = []  # noqa: RUF012
    """Origins whose pages may call the API."""

    DEMO_DATA: bool = True
    """Whether `manage.py serve` makes the demo organisation and users in a database without users."""

    PUBLIC_URL: str = ""
    """The address at which people reach this server, such as https://ai.example.org. With https, cookies go over HTTPS only."""

    HSTS_SECONDS: int = 86400
    """With an https PUBLIC_URL: how long browsers are told to come over HTTPS only; 0: not told. Raise it when all is well."""

    EMAIL_URL: str = "smtp://localhost:25"
    """The mail server, such as smtp+tls://user:password@mail.example.org:587; consolemail:// prints mails instead."""

    EMAIL_FROM: str = "throughline@localhost"
    """The sender of mails."""

    METRICS_TOKEN: str = ""
    """Token that `/metrics` asks for; empty: only this machine may read it, and not through a proxy."""

    LOG_FORMAT: str = "text"
    """text for people, json for machines."""

    LOG_LEVEL: str = "INFO"
    """Least severe level that is logged."""


conf = ProjectSettings()
