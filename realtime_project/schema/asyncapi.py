"""The AsyncAPI 3.1 document of sockets, event streams and every registered type of event. Written from the code."""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from events.event import EVENT_TYPES, EventType
from realtime_project.schema.frames import EVERY_SOCKET, SOCKETS, STREAMS, TRUNCATED, Conversation, Frame
from realtime_project.schema.openapi import SECURITY_SCHEMES, VERSION, as_json, as_yaml

DESCRIPTION = """Sockets and event streams of Throughline: what comes over them, and what is stored. The messages named after a \
type (`run.started`) are the canonical events of the log; those of an address are what its clients see of them.

HTTP is described by the OpenAPI document beside this one (`/api/schema`)."""

USER_FEED = "User feed"
"""How the meaning of a type begins that a user feed tells."""

_NAMED = re.compile(r"`([a-z][a-zA-Z_]*)`")


def document() -> dict[str, Any]:
    """The document, as JSON-like data."""
    spoken = (*SOCKETS, *STREAMS)
    messages = {f"event.{name}": _event(known) for name, known in sorted(EVENT_TYPES.items())}
    for each in (EVERY_SOCKET, *spoken):
        messages |= {_key(each, side, frame): _message(frame) for side, frame in _frames(each)}
    feeds = [_feed(), _topics(), _log()]
    channels = {_slug(each.address): _channel(each) for each in spoken} | {name: channel for name, channel, _ in feeds}
    operations = {name: operation for each in spoken for name, operation in _operations(each)}
    operations |= {name: operation for _, _, named in feeds for name, operation in named}
    return {
        "asyncapi": "3.1.0",
        "info": {"title": "Throughline", "version": VERSION, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "sockets": {"host": "127.0.0.1:8000", "protocol": "ws", "security": _security(), "description": "WebSocket"},
            "streams": {
                "host": "127.0.0.1:8000",
                "protocol": "http",
                "security": _security(),
                "description": "Server-Sent Events",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "securitySchemes": _schemes()},
    }


def _frames(said: Conversation) -> Iterator[tuple[str, Frame]]:
    yield from (("client", frame) for frame in said.client)
    yield from (("server", frame) for frame in said.server)


def _slug(address: str) -> str:
    return "_".join(re.findall(r"[A-Za-z0-9]+", address)) or "every_socket"


def _key(said: Conversation, side: str, frame: Frame) -> str:
    return f"{_slug(said.address)}.{side}.{frame.name}"


def _message(frame: Frame) -> dict[str, Any]:
    return {"name": frame.name, "summary": frame.meaning, "payload": frame.schema}


def _event(known: EventType) -> dict[str, Any]:
    """A canonical event: the fields are those that its meaning names."""
    properties: dict[str, Any] = {name: {} for name in _NAMED.findall(known.meaning.partition(":")[2])}
    message: dict[str, Any] = {
        "name": str(known.name),
        "summary": known.meaning,
        "payload": {
            "type": "object",
            "properties": {"type": {"const": str(known.name)}, "data": {"type": "object", "properties": properties}},
            "required": ["type", "data"],
        },
    }
    return message | ({"tags": [{"name": "terminal"}]} if known.terminal else {})


def _channel(said: Conversation) -> dict[str, Any]:
    common = [(EVERY_SOCKET, side, frame) for side, frame in _frames(EVERY_SOCKET)] if said.is_socket else []
    own = [(said, side, frame) for side, frame in _frames(said)]
    keys = [_key(*each) for each in (*common, *own)]
    channel = _shaped(said.address, said.title, "sockets" if said.is_socket else "streams", keys)
    if said.query and said.is_socket:
        properties = {name: {"type": "string"} for name in said.query}
        channel["bindings"] = {"ws": {"query": {"type": "object", "properties": properties}, "bindingVersion": "0.1.0"}}
    return channel


def _shaped(address: str | None, title: str, server: str, keys: Iterable[str]) -> dict[str, Any]:
    parameters = {name: {"description": f"See {address}."} for name in re.findall(r"\{(\w+)\}", address or "")}
    return {
        "address": address,
        "title": title,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in keys},
        **({"parameters": parameters} if parameters else {}),
    }


def _operations(said: Conversation) -> Iterator[tuple[str, dict[str, Any]]]:
    """AsyncAPI tells them from the side of this server: it receives what clients say."""
    channel = _slug(said.address)
    for side, action in (("client", "receive"), ("server", "send")):
        parts = [(each, frame) for each in (EVERY_SOCKET, said) for its, frame in _frames(each) if its == side]
        keys = [_key(each, side, frame) for each, frame in parts if said.is_socket or each is said]
        if keys:
            yield f"{action}_{channel}", _operation(action, channel, keys)


def _operation(action: str, channel: str, keys: Iterable[str]) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/{channel}/messages/{key}"} for key in keys]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}


Named = tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]


def _feed() -> Named:
    """The user feed: types of the registry as they are, in an envelope."""
    keys = [f"event.{name}" for name, known in sorted(EVENT_TYPES.items()) if USER_FEED.lower() in known.meaning.lower()]
    channel = _shaped("/api/events", USER_FEED, "streams", keys)
    return "api_events", channel, [("send_api_events", _operation("send", "api_events", keys))]


def _topics() -> Named:
    """Topics as an event stream: what their socket tells."""
    socket = next(each for each in SOCKETS if each.title == "Topics")
    keys = [
        _key(socket, "server", frame)
        for frame in socket.server
        if frame.name in ("subscribed", "event", "cursor", TRUNCATED.name)
    ]
    channel = _shaped("/api/topics", "Topics", "streams", keys)
    return "api_topics", channel, [("send_api_topics", _operation("send", "api_topics", keys))]


def _log() -> Named:
    """What is stored, whoever reads it: it has no address."""
    keys = [f"event.{name}" for name in sorted(EVENT_TYPES)]
    channel = _shaped(None, "The log: canonical events, as they are stored", "streams", keys)
    return "log", channel, [("send_log", _operation("send", "log", keys))]


def _security() -> list[dict[str, str]]:
    return [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY_SCHEMES]


def _schemes() -> dict[str, Any]:
    """Those of HTTP, in AsyncAPI's words: its `apiKey` is something else."""
    return {name: each | {"type": "httpApiKey"} if each["type"] == "apiKey" else each for name, each in SECURITY_SCHEMES.items()}


@functools.cache
def served(form: str) -> str:
    """The document as `yaml` or `json`, written once in each process."""
    return as_yaml(document()) if form == "yaml" else as_json(document())
