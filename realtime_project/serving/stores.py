"""The stores the server works with: the ones it is given, checked, or embedded ones."""

import re

import environ
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime_project.logs import redacted
from realtime_project.serving.errors import ServingError

OLDEST_REDIS = 7
CONNECT_SECONDS = 5


def check_database(url: str) -> None:
    """Nothing when the Postgres at `url` lets us in.

    Raises:
        ServingError: it is no Postgres address, does not answer, or refuses us.
    """
    parsed = environ.Env.db_url_config(url)
    if "postgres" not in parsed.get("ENGINE", ""):
        raise ServingError(
            f"DATABASE_URL={redacted(url)} is not the address of a Postgres: postgres://user:password@host:5432/name."
        )
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
    given = {keyword: parsed[name] for name, keyword in names.items() if parsed.get(name)}
    try:
        psycopg.connect(**{"connect_timeout": CONNECT_SECONDS, **given, **parsed.get("OPTIONS", {})}).close()
    except psycopg.Error as error:
        raise ServingError(f"The database at DATABASE_URL={redacted(url)} cannot be reached: {_one_line(error)}") from error


def check_redis(url: str) -> None:
    """Nothing when the Redis at `url` answers and is new enough.

    Raises:
        ServingError: the address is wrong, nothing answers, it refuses us, or it is older than Redis 7.
    """
    shown = redacted(url)
    try:
        limits = {"socket_timeout": CONNECT_SECONDS, "socket_connect_timeout": CONNECT_SECONDS, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis.from_url(url, **limits) as client:
            facts = client.info("server")
    except (redis.RedisError, ValueError, OSError) as error:
        raise ServingError(f"The Redis at REDIS_URL={shown} cannot be reached: {_one_line(error)}") from error
    version = str(facts.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < OLDEST_REDIS:
        raise ServingError(f"The Redis at REDIS_URL={shown} is version {version}: {OLDEST_REDIS} or newer (or Valkey) is needed.")


def _one_line(error: Exception) -> str:
    """The first thing the driver says, as the end of a sentence."""
    lines = [line.strip() for line in redacted(str(error)).splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"[.\s]*$", "", lines[0]) + "."
