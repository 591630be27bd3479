"""Events that other services publish over HTTP."""

import hashlib
from collections.abc import Sequence
from typing import Any

from accounts.models import User
from events.conf import conf
from events.event import EventId
from events.exceptions import InvalidRequest, NotFound
from events.publishing import Publication, check, publish, publish_once
from events.streams import Stream


def publish_all(*, items: Sequence[dict[str, Any]]) -> list[str | None]:
    """Publishes checked items; their ids in the same order (None: ENABLE_SSE_PUSH is off).

    All are checked before the first is published. The same idempotency_key within EVENTS_PUBLISH_ONCE_SECONDS
    gives the same id. Raises `NotFound` for an unknown user, `InvalidRequest`, `TooLarge`, `BrokerUnavailable`.
    """
    publications = [_publication(item) for item in items]
    for publication in publications:
        check(publication)
    _refuse_unknown({each.stream.id for each in publications if each.stream.kind == "user"})
    return [_text(_publish(publication, item["idempotency_key"])) for publication, item in zip(publications, items, strict=True)]


def _publication(item: dict[str, Any]) -> Publication:
    stream = Stream("user", item["user"]) if "user" in item else Stream.parse(item["stream"])
    if stream.durable or stream.internal:
        raise InvalidRequest(f"{stream.name} is not written from outside; publish to user:, org: or workspace: streams.")
    return Publication(stream, item["type"], {"scope": item["scope"], "payload": item["payload"]})


def _refuse_unknown(user_ids: set[str]) -> None:
    known = set(User.objects.filter(public_id__in=user_ids).values_list("public_id", flat=True))
    if user_ids - known:
        raise NotFound(f"There is no user with the id {min(user_ids - known)!r}.")


def _publish(publication: Publication, key: str) -> EventId | None:
    if not key:
        return publish(stream=publication.stream, type=publication.type, data=publication.data)
    # Hashed: a key may be any text, and the broker's keys should be short and plain.
    named = f"external:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    ids = publish_once([(publication, named)], remember=conf.EVENTS_PUBLISH_ONCE_SECONDS)
    return ids[0] if ids else None


def _text(event_id: EventId | None) -> str | None:
    return str(event_id) if event_id is not None else None
