"""Publishing on topics: from our own code with a transaction or at once, and from outside, by those who may."""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.caller import Caller
from accounts.models import Organization
from events.conf import conf
from events.event import storable
from events.exceptions import Forbidden, InvalidRequest, NotFound, ThroughlineError, Unprocessable
from events.outbox import publish_all_with_commit
from events.publishing import Publication, check, publish, publish_many, publish_once
from events.topics import access as topic_access
from events.topics.event import TOPIC_EVENT, organization_stream, stored
from events.topics.grammar import Topic, make_topic


@dataclass(frozen=True, slots=True)
class Published:
    """One event that was accepted: its own id, its topic, and the cursor after it ("" when ENABLE_SSE_PUSH is off)."""

    id: str
    topic: str
    cursor: str


def publish_topic(
    *,
    organization: str,
    source: str,
    resource: str,
    event: str,
    resource_id: str,
    payload: Mapping[str, Any],
    filters: Mapping[str, str] | None = None,
    tags: Sequence[str] = (),
    idempotency_key: str = "",
) -> None:
    """Publishes an event of this server on a topic, if and only if the current transaction is committed.

    `organization` is a public id. With a key: once only within a day. Raises `InvalidRequest`, `TooLarge`.
    """
    topic = make_topic(
        organization=organization, source=source, resource=resource, event=event, resource_id=resource_id, filters=filters
    )
    key = f"topic:{organization}:{_digest(idempotency_key)}" if idempotency_key else ""
    publish_all_with_commit([_publication(topic, payload=payload, tags=tags, key=key)])


async def publish_topic_now(*, topic: Topic, payload: Mapping[str, Any], tags: Sequence[str] = ()) -> None:
    """The same for what belongs to no change in the database. Raises also `BrokerUnavailable`."""
    await publish_many([_publication(topic, payload=payload, tags=tags)])


def publish_received(*, topic: Topic, payload: Mapping[str, Any], key: str, publisher: str) -> Published:
    """Publishes what a webhook brought; with a key once only within WEBHOOK_ONCE_SECONDS. Raises as `publish_from_outside`."""
    named = f"topic:{_digest(key)}" if key else ""
    publication = _publication(topic, payload=payload, tags=(), key=named, publisher=publisher)
    check(publication)
    [published] = _append([publication], remember=conf.WEBHOOK_ONCE_SECONDS)
    return published


def publish_by_operator(*, topic: Topic, payload: Mapping[str, Any], tags: Sequence[str], key: str) -> Published:
    """Publishes for whoever has a shell on the server. Raises as `publish_received`, and `NotFound` for no such organisation."""
    _refuse_unknown(topic)
    named = f"topic:operator:{_digest(key)}" if key else ""
    publication = _publication(topic, payload=payload, tags=tags, key=named)
    check(publication)
    [published] = _append([publication], remember=conf.EVENTS_PUBLISH_ONCE_SECONDS)
    return published


def publish_from_outside(*, caller: Caller, items: Sequence[Mapping[str, Any]]) -> list[Published]:
    """Publishes checked items (see `topic_serializers`) of one who may; in their order, all or, when one is wrong, none.

    The same idempotency_key of the same caller within EVENTS_PUBLISH_ONCE_SECONDS gives the same answer. Raises
    `Unprocessable` with what is wrong by item, or where there is one item what is wrong with it; `BrokerUnavailable`.
    """
    publications, errors = [], []
    for number, item in enumerate(items):
        try:
            publications.append(_permitted(caller, item))
        except ThroughlineError as error:
            if len(items) == 1:
                raise
            errors.append({"loc": ["body", number], "msg": error.message, "type": error.code, "input": str(item["topic"])})
    if errors:
        raise Unprocessable("Some events cannot be published; none of them was.", errors=errors)
    return _append(publications, remember=conf.EVENTS_PUBLISH_ONCE_SECONDS)


def _permitted(caller: Caller, item: Mapping[str, Any]) -> Publication:
    topic: Topic = item["topic"]
    _refuse_unless_publisher(caller, topic)
    key = f"topic:{caller.user_id}:{_digest(item['idempotency_key'])}" if item["idempotency_key"] else ""
    publication = _publication(topic, payload=item["payload"], tags=item["tags"], key=key, publisher=caller.user_id)
    check(publication)
    return publication


def _refuse_unless_publisher(caller: Caller, topic: Topic) -> None:
    """Staff accounts publish for all organisations, others for their own. What this server says is not for everybody to say."""
    if caller.is_staff:
        _refuse_unknown(topic)
        return
    if not topic_access.is_member(user_pk=caller.pk, organization_id=topic.organization):
        raise Forbidden(f"You are no member of the organisation {topic.organization!r}.")
    if topic.source in conf.TOPIC_RESERVED_SOURCES and caller.credential != "api_key":
        raise Forbidden(
            f"Events of the source {topic.source!r} are for services: publish them with an API key or a staff account."
        )
    if not topic_access.may_see(caller, topic):
        raise Forbidden(f"You may not see the events of {topic.resource_id!r}, so you may not publish any.")


def _refuse_unknown(topic: Topic) -> None:
    if not Organization.objects.filter(public_id=topic.organization).exists():
        raise NotFound(f"There is no organisation with the id {topic.organization!r}.")


def _publication(
    topic: Topic, *, payload: Mapping[str, Any], tags: Sequence[str], key: str = "", publisher: str = ""
) -> Publication:
    # Made of the key, so that an event that is published again is the same one.
    own_id = f"evt_{_digest(key)[:24]}" if key else f"evt_{secrets.token_hex(12)}"
    if len(tags) > 32:
        raise InvalidRequest("At most 32 tags are accepted.")
    data = storable(stored(topic, id=own_id, at=time.time(), payload=payload, tags=tags, publisher=publisher))
    return Publication(organization_stream(topic.organization), TOPIC_EVENT.name, data, key)


def _append(publications: Sequence[Publication], *, remember: int) -> list[Published]:
    if any(each.key for each in publications):
        keyed = [(each, each.key or f"topic:{each.data['event']['id']}") for each in publications]
        ids = [str(each) for each in publish_once(keyed, remember=remember)]
    else:
        ids = [str(publish(stream=each.stream, type=each.type, data=each.data) or "") for each in publications]
    ids = ids or [""] * len(publications)
    return [Published(each.data["event"]["id"], each.data["topic"], id_) for each, id_ in zip(publications, ids, strict=True)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
