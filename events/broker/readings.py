"""What the scripts' answers mean. No I/O."""

from collections.abc import Sequence
from typing import Any

from events.broker.base import BrokerFacts, Reading
from events.event import Event, EventId, unpack

OLDEST_REDIS = 7
WRITE_STATUSES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")


def parse_id(raw: bytes) -> EventId:
    """An id as Redis writes it: `ms-n`."""
    major, _, minor = raw.partition(b"-")
    return EventId(int(major), int(minor))


def events_of(entries: list[tuple[bytes, list[bytes]]]) -> list[Event]:
    """Entries of a stream, as a script answers them."""
    return [unpack(parse_id(raw_id), fields[1]) for raw_id, fields in entries]


def durable_reading(cursor: EventId, answer: Any) -> Reading:
    """The answer of `scripts.READ_DURABLE`: only what follows the cursor without a hole."""
    exists, head, entries = answer
    events = events_of(entries)
    if not exists:
        return Reading([], exists=False)
    if head < cursor.major:
        return Reading([], continuous=False, reason="unknown_cursor")
    if (events[-1].id.major if events else head) == cursor.major + len(events):
        return Reading(events)
    # Something was deleted from the middle: up to there it can be told, and what is missing is in the journal.
    whole = [event for place, event in enumerate(events, cursor.major + 1) if event.id.major == place]
    return Reading(whole) if whole else Reading(events, continuous=False, reason="trimmed")


def backlog_reading(answer: Any) -> Reading:
    """The answer of `scripts.READ`."""
    exists, reason, entries = answer
    text = reason.decode()
    return Reading(events_of(entries), continuous=not text, exists=bool(exists), reason=text)


def facts_of(infos: Sequence[dict[str, Any]]) -> BrokerFacts:
    """What `INFO` says of the server, its persistence and its memory; of several servers together."""
    oldest = min(infos, key=_version)
    valkey = oldest.get("valkey_version")
    return BrokerFacts(
        name="Valkey" if valkey else "Redis",
        version=str(valkey or oldest.get("redis_version", "0")),
        needs="" if _version(oldest)[0] >= OLDEST_REDIS else f"Redis {OLDEST_REDIS} or newer, or Valkey, is needed",
        appends=all(info.get("aof_enabled") for info in infos),
        write_errors=[name for name in WRITE_STATUSES if any(info.get(name, "ok") != "ok" for info in infos)],
        loading=any(info.get("loading") for info in infos),
        eviction=", ".join(sorted({str(info.get("maxmemory_policy", "")) for info in infos})),
        used_bytes=sum(int(info.get("used_memory", 0)) for info in infos),
        most_bytes=sum(int(info.get("maxmemory", 0)) for info in infos),
    )


def _version(info: dict[str, Any]) -> list[int]:
    # Valkey goes on telling clients of Redis which Redis it is like.
    return [int(part) for part in str(info.get("redis_version", "0")).split(".") if part.isdecimal()]
