"""What is posted to endpoints. No I/O."""

import hashlib
import re
from typing import Any

from events.event import to_json
from events.topics.event import TopicEvent
from events.webhooks.models import WebhookEndpoint

CONTENT_TYPES = {
    WebhookEndpoint.Form.EVENT: "application/json",
    WebhookEndpoint.Form.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8",
}
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


def webhook_id(event: TopicEvent) -> str:
    """What names an event at every attempt: its own id, which it keeps when it is published again; else its place in the log.

    An id of another form, as clients of NATS may give, is hashed: a dot separates in what is signed, and headers are short.
    """
    own = event.at.data.get("event", {}).get("id")
    if not isinstance(own, str) or not own:
        return f"evt_{event.at.id}"
    return own if _PLAIN_ID.fullmatch(own) else f"evt_{hashlib.sha256(own.encode('utf-8', 'replace')).hexdigest()[:32]}"


def event_body(event: TopicEvent, *, form: str, cursor: str) -> str:
    """The event in a form; `cursor`: where a reader of the organisation stands after it (empty: it is in no log)."""
    if form == WebhookEndpoint.Form.EVENT:
        return event.frame(cursor)
    told = event.at.data.get("event", {})
    return _cloud_event(
        id=webhook_id(event),
        source=f"/organizations/{event.topic.organization}/{event.topic.source}",
        type=f"{event.topic.resource}.{event.topic.event}",
        data=told.get("payload", {}),
        subject=event.topic.resource_id,
        time=told.get("timestamp"),
        topic=str(event.topic),
        cursor=cursor or None,
    )


def truncated_body(*, id: str, organization: str, reason: str, oldest: str, form: str, cursor: str) -> str:
    """Word that events may be missing before the one after which a reader stands at `cursor`."""
    payload = {"organizationId": organization, "oldest_retained_id": oldest, "reason": reason}
    if form == WebhookEndpoint.Form.EVENT:
        return to_json({"type": "backlog.truncated", **payload, "payload": payload, "cursor": cursor})
    return _cloud_event(id=id, source=f"/organizations/{organization}", type="backlog.truncated", data=payload, cursor=cursor)


def _cloud_event(*, id: str, source: str, type: str, data: Any, **more: Any) -> str:
    """Structured mode of https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md."""
    event = {"specversion": "1.0", "id": id, "source": source, "type": type, "datacontenttype": "application/json", "data": data}
    return to_json(event | {name: value for name, value in more.items() if value is not None})
