"""Where things are in NATS: its streams, the subjects of ours, and how their events are written. No I/O."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nats.aio.msg import Msg

from events.conf import conf
from events.event import Event, EventId, storable, to_json, unpack
from events.exceptions import InvalidRequest
from events.streams import Stream
from events.topics.event import TOPIC_EVENT, stored
from events.topics.grammar import parse_topic

DURABLE, BACKLOG, TOPICS, STATE = "durable", "backlog", "topics", "state"
"""Our four streams of JetStream; see `stream_name` for their names there."""

ROOT = "events"
"""The first word of every topic: `events.{organisation}. ...`."""

SECOND = 10**9
KEEP_SECONDS = 24 * 3600
"""How long a durable stream stays, and how long keys of `append_once` are remembered (as long as the outbox needs)."""

LEASE, FIRST, HEAD, BORN, TYPE, AT = "Tl-Lease", "Tl-First", "Tl-Head", "Tl-Born", "Tl-Type", "Tl-At"
"""Headers: the lease and the ids that a message of a durable stream holds; that a backlog was empty before this
event; type and time of an event on a topic, whose payload is the event alone."""


def token(text: str) -> str:
    """A text as one word of a subject."""
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E") or "%"


def stream_name(which: str, epoch: int) -> str:
    """The name of one of our streams in JetStream that is made now.

    Its epoch, the time in milliseconds, is part of it: who asks one that has been deleted and made anew gets no answer,
    instead of messages that are now in the places of others.
    """
    return f"{conf.EVENTS_KEY_PREFIX}_{which}_{epoch}"


def epoch_of(name: str) -> int:
    """The epoch of a stream of JetStream, which all cursors into it begin with; 0 when it is none of ours."""
    epoch = name.rpartition("_")[2]
    return int(epoch) if epoch.isdecimal() and name.startswith(f"{conf.EVENTS_KEY_PREFIX}_") else 0


def where(stream: Stream) -> str:
    """Which of our streams in JetStream holds this one."""
    if stream.kind == "org":
        return TOPICS
    return DURABLE if stream.durable else BACKLOG


def subject_of(stream: Stream) -> str:
    """The subject of a stream; that of an organisation covers all its topics."""
    if stream.kind == "org":
        return f"{ROOT}.{token(stream.id)}.>"
    return f"{conf.EVENTS_KEY_PREFIX}.{where(stream)}.{stream.kind}.{token(stream.id)}"


def bell_of(stream: Stream) -> str:
    """The subject on which a stream's doorbell rings: JetStream says there what it has stored."""
    last = ".>" if stream.kind == "org" else ""
    return f"{conf.EVENTS_KEY_PREFIX}.bell.{stream.kind}.{token(stream.id)}{last}"


def state_subject(*words: str) -> str:
    """The subject of something that ends by itself."""
    return ".".join([f"{conf.EVENTS_KEY_PREFIX}.{STATE}", *words])


def configurations() -> dict[str, dict[str, Any]]:
    """How each of our streams is to be."""
    prefix = conf.EVENTS_KEY_PREFIX
    age = int(conf.EVENTS_REPLAY_MAX_AGE_HOURS * 3600)
    shared = {
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": conf.NATS_REPLICAS,
        "allow_direct": True,
    }
    once = {"max_age": age * SECOND, "duplicate_window": min(age, KEEP_SECONDS) * SECOND}

    def ringing(source: str, target: str) -> dict[str, Any]:
        return {"republish": {"src": source, "dest": target, "headers_only": True}}

    return {
        DURABLE: shared
        | ringing(f"{prefix}.{DURABLE}.>", f"{prefix}.bell.>")
        | {"subjects": [f"{prefix}.{DURABLE}.>"], "max_age": KEEP_SECONDS * SECOND, "allow_atomic": True},
        BACKLOG: shared
        | once
        | ringing(f"{prefix}.{BACKLOG}.>", f"{prefix}.bell.>")
        | {"subjects": [f"{prefix}.{BACKLOG}.>"], "max_msgs_per_subject": _about(conf.EVENTS_STREAM_MAXLEN)},
        # Only ever trimmed at its beginning: thus it is known of every cursor whether something after it is missing.
        TOPICS: shared
        | once
        | ringing(f"{ROOT}.*.>", f"{prefix}.bell.org.{{{{wildcard(1)}}}}.>")
        | {"subjects": [f"{ROOT}.*.>"], "max_msgs": conf.NATS_TOPICS_MAX},
        STATE: shared | {"subjects": [f"{prefix}.{STATE}.>"], "max_msgs_per_subject": 1, "allow_msg_ttl": True},
    }


def _about(length: int) -> int:
    """A quarter more, as Redis has a margin, too: who is just so far behind can catch up while others publish."""
    return length + length // 4


@dataclass(frozen=True, slots=True)
class Facts:
    """What JetStream says of a stream: its epoch, and what it holds."""

    epoch: int
    first_seq: int
    last_seq: int
    ahead: float
    """By how many seconds the server's clock is ahead of ours."""


def parsed_time(text: str) -> float:
    """A time of NATS (RFC 3339, nanoseconds), in seconds since the epoch."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{rest or 0}")


def seq_of(message: Msg) -> int:
    """The place of a message in its stream of JetStream."""
    return int((message.headers or {})["Nats-Sequence"])


def id_of(message: Msg) -> EventId:
    """The id of the event in a message of a backlog."""
    return EventId(epoch_of((message.headers or {})["Nats-Stream"]), seq_of(message))


def first_of(message: Msg) -> int:
    """The id of the first event in a message of a durable stream."""
    return int((message.headers or {})[FIRST])


def head_of(message: Msg) -> int:
    """The last id of a durable stream after this message."""
    return int((message.headers or {})[HEAD])


def durable_events(message: Msg) -> list[Event]:
    """The events in a message of a durable stream."""
    lines = message.data.split(b"\n") if message.data else []
    return [unpack(EventId(number, 0), line) for number, line in enumerate(lines, first_of(message))]


def backlog_message(stream: Stream, packed: str) -> tuple[str, bytes, dict[str, str]]:
    """Subject, payload and headers of an event of a backlog. Those on topics are written for whoever listens in NATS."""
    if stream.kind != "org":
        return subject_of(stream), packed.encode(), {}
    value = json.loads(packed)
    headers = {TYPE: value["type"], AT: str(value["at"])}
    topic = value["data"].get("topic", "")
    if value["type"] == TOPIC_EVENT.name and topic.startswith(f"{ROOT}.{stream.id}."):
        return topic, to_json(value["data"]["event"]).encode(), headers
    return f"{ROOT}.{token(stream.id)}.{token(value['type'])}", to_json(value["data"]).encode(), headers


def backlog_event(message: Msg) -> Event:
    """The event in a message of a backlog. That of a topic may have been published by anybody."""
    headers = message.headers or {}
    event_id, subject = id_of(message), headers["Nats-Subject"]
    if not subject.startswith(f"{ROOT}."):
        return unpack(event_id, message.data)
    stored_at = int(parsed_time(headers["Nats-Time-Stamp"]) * 1000)
    value = _value(message.data)
    if headers.get(TYPE, TOPIC_EVENT.name) != TOPIC_EVENT.name and isinstance(value, dict):
        return Event(event_id, headers[TYPE], value, stored_at)
    return Event(event_id, TOPIC_EVENT.name, _on_topic(subject, event_id, value, stored_at), stored_at)


def _value(payload: bytes) -> Any:
    try:
        return storable(json.loads(payload or b"{}"))
    except ValueError:
        return payload.decode(errors="replace")


def _on_topic(subject: str, event_id: EventId, value: Any, at: int) -> dict[str, Any]:
    """The data of a `topic.event`. Where it is said to come from is the subject's word, whatever the payload claims."""
    try:
        topic = parse_topic(subject)
    except InvalidRequest:
        return {"topic": subject, "event": {}}  # no pattern matches it
    given = value if isinstance(value, dict) and isinstance(value.get("payload"), dict) and "eventName" in value else None
    payload = given["payload"] if given else value if isinstance(value, dict) else {"value": value}
    data = stored(topic, id=f"nats-{event_id}", at=at / 1000, payload=payload)
    event = data["event"]
    if given is not None:
        event |= {key: given[key] for key in ("id", "timestamp") if isinstance(given.get(key), str)}
        metadata = given.get("metadata")
        event["metadata"] |= {
            key: metadata[key] for key in ("tags", "publisher") if isinstance(metadata, dict) and key in metadata
        }
    return data
