"""The stores the server works with: the ones it is given, checked, or embedded ones."""

import json
import re
import socket
from urllib.parse import urlsplit

import environ
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from realtime_project.logs import redacted
from realtime_project.serving.errors import ServingError

OLDEST_REDIS = 7
OLDEST_NATS = (2, 12)
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


def check_nats(url: str) -> None:
    """Nothing when one of the NATS servers at `url` answers, has JetStream and is new enough.

    Raises:
        ServingError: the address is wrong, nothing answers, JetStream is not enabled, or it is older than OLDEST_NATS.
            Whether it lets us in is said by the processes: it tells only after a log-in.
    """
    told, error = None, None
    for server in url.split(","):
        parts = urlsplit(server.strip())
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 4222), timeout=CONNECT_SECONDS) as opened:
                told = json.loads(opened.makefile("rb").readline().removeprefix(b"INFO "))
                break
        except (OSError, ValueError) as failed:
            error = failed
    if told is None:
        raise ServingError(f"The NATS at NATS_URL={redacted(url)} cannot be reached: {_one_line(error or ValueError(url))}")
    if not told.get("jetstream"):
        raise ServingError(f"The NATS at NATS_URL={redacted(url)} has no JetStream: start it with -js.")
    version = str(told.get("version", "0.0"))
    if tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2]) < OLDEST_NATS:
        oldest = ".".join(map(str, OLDEST_NATS))
        raise ServingError(f"The NATS at NATS_URL={redacted(url)} is version {version}: {oldest} or newer is needed.")


def _one_line(error: Exception) -> str:
    """The first thing the driver says, as the end of a sentence."""
    lines = [line.strip() for line in redacted(str(error)).splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"[.\s]*$", "", lines[0]) + "."
