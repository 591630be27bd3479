"""What other services post becomes an event on a topic, once: signatures, JSONPath, CloudEvents.

CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from jsonpath import JSONPath, JSONPathError
from jsonpath import compile as compile_path

from events.conf import conf
from events.event import storable
from events.exceptions import InvalidRequest, NotFound, TooLarge
from events.models import WebhookInlet
from events.topics.grammar import make_topic
from events.topics.publishing import Published, publish_received
from events.webhooks import signatures as webhook_signatures

STRUCTURED = "application/cloudevents+json"
NO_SEGMENT = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Received:
    """What a request says: its type, the id of what it is about, what it carries, and an id of its own (empty: none)."""

    type: str
    resource_id: str
    payload: Any
    own_id: str = ""


def check_path(text: str) -> None:
    """Returns when `text` is a JSONPath that names one place. Raises `InvalidRequest`."""
    _path(text)


def receive(*, inlet_id: str, headers: Mapping[str, str], body: bytes) -> Published:
    """Publishes what was posted. The same webhook-id (or CloudEvents id) again publishes nothing and has the same answer.

    Raises `NotFound`, `TooLarge`, `Unauthenticated`, `InvalidRequest`, `BrokerUnavailable`.
    """
    inlet = WebhookInlet.objects.select_related("organization").filter(public_id=storable(inlet_id), is_enabled=True).first()
    if inlet is None:
        raise NotFound("There is no webhook at this address, or it is switched off.")
    if len(body) > conf.WEBHOOK_MAX_BYTES:
        raise TooLarge(f"The body is larger than {conf.WEBHOOK_MAX_BYTES} bytes.")
    if inlet.secret:
        _verify(inlet, headers, body)
    received = _read(inlet, headers, body)
    own_id = headers.get("webhook-id") or received.own_id
    payload = received.payload if isinstance(received.payload, dict) else {"value": received.payload}
    resource, _, event = received.type.rpartition(".")
    topic = make_topic(
        organization=inlet.organization.public_id,
        source=inlet.source,
        resource=_segment(resource or "event"),
        event=_segment(event),
        resource_id=_segment(received.resource_id),
    )
    key = f"webhook:{inlet.public_id}:{own_id}" if own_id else ""
    return publish_received(topic=topic, payload=payload, key=key, publisher=inlet.public_id)


def _verify(inlet: WebhookInlet, headers: Mapping[str, str], body: bytes) -> None:
    webhook_signatures.verify(
        inlet.secret,
        id=headers.get("webhook-id", ""),
        at=headers.get("webhook-timestamp", ""),
        signatures=headers.get("webhook-signature", ""),
        body=body,
        now=time.time(),
        tolerance=conf.WEBHOOK_TOLERANCE_SECONDS,
    )


def _read(inlet: WebhookInlet, headers: Mapping[str, str], body: bytes) -> Received:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "ce-specversion" in headers:
        data = _json(body) if kind in ("", "application/json") or kind.endswith("+json") else body.decode("utf-8", "replace")
        return _cloud_event({name: headers.get(f"ce-{name}", "") for name in ("type", "id", "source", "subject")}, data)
    value = _json(body)
    if kind == STRUCTURED:
        if not isinstance(value, dict):
            raise InvalidRequest("A structured CloudEvent is a JSON object.")
        return _cloud_event(value, value.get("data", {}))
    type_, id_ = (_text(value, path, name) for path, name in ((inlet.type_path, "typePath"), (inlet.id_path, "idPath")))
    return Received(type_, id_, _find(value, inlet.payload_path, "payloadPath"))


def _cloud_event(attributes: Mapping[str, Any], data: Any) -> Received:
    type_, own_id = attributes.get("type"), attributes.get("id")
    if not isinstance(type_, str) or not type_ or not isinstance(own_id, str) or not own_id:
        raise InvalidRequest("A CloudEvent needs a type and an id.")
    # An id is unique for its source only.
    return Received(type_, str(attributes.get("subject") or own_id), data, f"{attributes.get('source', '')} {own_id}")


def _text(value: Any, path: str, name: str) -> str:
    found = _find(value, path, name)
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found):
        raise InvalidRequest(f"{name} ({path}) must lead to a text or a number.")
    return str(found)


def _find(value: Any, path: str, name: str) -> Any:
    found = cast("list[Any]", _path(path).findall(value))
    if not found:
        raise InvalidRequest(f"{name} ({path}) leads to nothing in this body.")
    return found[0]


def _path(text: str) -> JSONPath:
    try:
        path = compile_path(text)
        # One place: neither a filter nor `..`, whose cost whoever posts could choose.
        if isinstance(path, JSONPath) and path.singular_query():
            return path
    except (JSONPathError, RecursionError):
        pass
    raise InvalidRequest(f"{text!r} is not a JSONPath to one place, such as $.event.type.")


def _json(body: bytes) -> Any:
    try:
        return storable(json.loads(body, parse_constant=_refuse))
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON.") from None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _segment(text: str) -> str:
    """The text as a segment of a topic: what no segment may contain becomes `_`."""
    return NO_SEGMENT.sub("_", text)[:128] or "_"
