"""The parts behind the server, examined one after the other: for `manage.py check_stack`."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from chat.services.inspecting import living_workers
from chat.sweep import silence_seconds
from events.broker.base import BrokerFacts
from events.broker.connect import address_setting, connect
from events.event import START
from events.exceptions import BrokerUnavailable
from events.feed import KEEPALIVE, Feed
from events.hub import close_hub, current_hub
from events.models import OutboxEvent
from events.publishing import Publication, publish_many
from events.streams import Stream
from realtime_project.conf import conf
from realtime_project.logs import redacted
from realtime_project.serving.errors import ServingError
from realtime_project.serving.stores import check_database

OUTBOX_SECONDS = 10.0
"""Far longer than any event waits there while broker and sweeps are well."""
FULL = 0.9
ROUND_TRIP_SECONDS = 5.0
SLOW_SECONDS = 1.0
UNKNOWN = "Not examined, as the {} does not answer."


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about one part: whether it is well, and what it says, or what is wrong and what to do."""

    name: str
    ok: bool
    says: str


def check_stack() -> list[Check]:
    """Every check, in the order in which they depend on each other. From synchronous code; takes at most about 30 s."""
    return [*_database(), *asyncio.run(_broker())]


def _database() -> list[Check]:
    after = {"migrations": _migrations, "worker": _worker, "outbox": _outbox}
    checks = [_examined("database", _postgres)]
    for name, examine in after.items():
        checks.append(_examined(name, examine) if checks[0].ok else Check(name, False, UNKNOWN.format("database")))
    return checks


def _examined(name: str, examine: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *examine())
    except (DatabaseError, InterfaceError, OSError) as error:
        cause = _first_line(error)
        todo = "Is it running? See DATABASE_URL." if name == "database" else "Run `manage.py prepare_database`."
        return Check(name, False, f"{cause}. {todo}")


def _postgres() -> tuple[bool, str]:
    if conf.DATABASE_URL:
        try:
            # Asked without the pool, which says no more than that it has no connection.
            check_database(conf.DATABASE_URL)
        except ServingError as error:
            return False, f"{error} Is it running?"
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), pg_is_in_recovery()")
        version, replica = cursor.fetchone()
    if replica:
        return False, "This Postgres is a read-only replica: point DATABASE_URL at the primary."
    return True, f"Postgres {version.split(' ')[0]}, answers in {_milliseconds(began)} ms."


def _migrations() -> tuple[bool, str]:
    executor = MigrationExecutor(connection)
    missing = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if missing:
        return False, f"{len(missing)} are missing, {missing[0]} first: run `manage.py prepare_database`."
    return True, f"All {len(executor.loader.applied_migrations)} are applied."


def _worker() -> tuple[bool, str]:
    living = living_workers(silent_for=silence_seconds())
    if not living:
        return False, f"None gave a sign of life in the last {silence_seconds():g} s: start `manage.py procrastinate worker`."
    return True, f"{living} alive."


def _outbox() -> tuple[bool, str]:
    oldest = OutboxEvent.objects.order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        return True, "Empty."
    seconds = (timezone.now() - oldest).total_seconds()
    waiting = f"{OutboxEvent.objects.count()} events wait, the oldest for {seconds:.0f} s"
    if seconds > OUTBOX_SECONDS:
        return False, f"{waiting}: see the broker below, and the logs of the web processes and workers for `outbox`."
    return True, f"{waiting}."


async def _broker() -> list[Check]:
    broker = connect()
    try:
        began = time.monotonic()
        facts = await broker.facts()
        answered = _milliseconds(began)
    except BrokerUnavailable as error:
        says = f"{_first_line(error.__cause__ or error)}. Is it running? See {address_setting()}."
        rest = [Check(name, False, UNKNOWN.format("broker")) for name in ("persistence", "memory", "round trip")]
        return [Check("broker", False, says), *rest]
    finally:
        await broker.close()
    return [
        Check("broker", *_version(facts, answered)),
        Check("persistence", *_persistence(facts)),
        Check("memory", *_memory(facts)),
        await _round_trip(),
    ]


def _version(facts: BrokerFacts, answered: int) -> tuple[bool, str]:
    if facts.needs:
        return False, f"{facts.name} {facts.version} is too old: {facts.needs}."
    return True, f"{facts.name} {facts.version}, answers in {answered} ms."


def _persistence(facts: BrokerFacts) -> tuple[bool, str]:
    if facts.loading:
        return False, "It is still reading its file: wait."
    if facts.write_errors:
        return False, f"It could not write its file ({', '.join(facts.write_errors)}): look for a full disk, and at its log."
    if not facts.appends:
        return False, "Nothing is kept at a restart: readers of feeds are told of a gap then. Set `appendonly yes`."
    return True, "Every write is kept in files."


def _memory(facts: BrokerFacts) -> tuple[bool, str]:
    if facts.eviction != "noeviction":
        return False, f"maxmemory-policy is {facts.eviction}, which deletes from logs: set it to `noeviction`."
    used = f"{facts.used_bytes / 2**20:.1f} MiB"
    if not facts.most_bytes:
        return True, f"noeviction, {used} used, no limit."
    most = f"{facts.most_bytes / 2**20:.1f} MiB"
    if facts.used_bytes > FULL * facts.most_bytes:
        return False, f"{used} of {most} are used: raise maxmemory, or lower EVENTS_STREAM_MAXLEN and EVENTS_HOT_SECONDS."
    return True, f"noeviction, {used} of {most} used."


async def _round_trip() -> Check:
    """Publishes to a stream that nobody else reads, and waits for the event as a reader would."""
    name, stream = "round trip", Stream("user", f"check-stack-{secrets.token_hex(8)}")
    try:
        async with Feed(hub=current_hub(), stream=stream, cursor=START) as feed, asyncio.timeout(ROUND_TRIP_SECONDS):
            first = await _seconds(feed, stream)
            if first is None:
                return Check(name, True, "Not examined: ENABLE_SSE_PUSH is off, publishers do nothing.")
            # The first one may wait for the doorbells to be set up; the second is what users know.
            seconds = await _seconds(feed, stream) or first
    except TimeoutError:
        return Check(
            name, False, f"What was published did not arrive within {ROUND_TRIP_SECONDS:g} s: does the broker allow PUBLISH?"
        )
    except BrokerUnavailable as error:
        says = f"{_first_line(error.__cause__ or error)}: does it allow us everything? (Redis: EVALSHA, XADD, PUBLISH)"
        return Check(name, False, says)
    finally:
        await close_hub()
    says = f"Published and delivered in {seconds * 1000:.0f} ms"
    if seconds > SLOW_SECONDS:
        return Check(name, False, f"{says}: doorbells are lost; does the broker allow SUBSCRIBE?")
    return Check(name, True, f"{says}.")


async def _seconds(feed: Feed, stream: Stream) -> float | None:
    """From publishing to delivery; None when publishing is switched off."""
    began = time.monotonic()
    if not await publish_many([Publication(stream, "stack.checked", {})]):
        return None
    while await feed.next() is KEEPALIVE:
        pass
    return time.monotonic() - began


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _first_line(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "No answer in time"
    lines = [line.strip() for line in redacted(str(error)).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".: ")
