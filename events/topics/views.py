"""Addresses of topics: the event stream, and publishing."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import authenticate, caller_of
from accounts.openapi import (
    LAST_EVENT_ID,
    LAST_EVENT_ID_IN_QUERY,
    event_stream,
    list_of,
    query,
)
from events import sse
from events.conf import conf
from events.exceptions import InvalidRequest, TooLarge, Unavailable, Unprocessable
from events.guard import Guard
from events.hub import current_hub
from events.responses import Send, StreamResponse, stream_endpoint, write
from events.topics import frames as topic_frames
from events.topics import publishing as topic_publishing
from events.topics.cursor import LONGEST
from events.topics.frames import Refusal
from events.topics.reader import TopicReader
from events.topics.serializers import PublishedSerializer, TopicPublicationSerializer
from events.userfeed import EXPIRED
from events.views import BACK_AT_ONCE_MS

PUBLICATION = OpenApiExample(
    "a report is done",
    value={"topic": "events.org_demo.custom.report.done.r1", "payload": {"title": "Report"}},
    request_only=True,
)
FRAMES = """: connected

retry: 200

id: 1795248000000-0
data: {"type":"subscribed","topics":["events.org_demo.custom.>"],"cursor":"1795248000000-0","recovered":true}
"""


class TopicStreamResponse(StreamResponse):
    """A connection's topics as an event stream."""

    def __init__(self, reader: TopicReader, **options: Any) -> None:
        super().__init__(**options)
        self._reader = reader

    def stop(self) -> None:
        """Ends it."""
        self._reader.stop()

    async def write_all(self, send: Send) -> None:
        """Everything until the client leaves, the page of its replay is full, or it may no longer read."""
        hub = current_hub()
        hub.at_end.add(self.stop)
        try:
            with self.registered("topics", self._reader.give_notice):
                await self._write_topics(send)
        finally:
            hub.at_end.discard(self.stop)

    async def _write_topics(self, send: Send) -> None:
        reader = self._reader
        quiet_until = time.monotonic() + conf.SSE_KEEPALIVE_SECONDS
        while True:
            reader.look_by = quiet_until if self.guard is None else min(quiet_until, self.guard.due)
            told = await reader.next()
            if told is None or await self.forbids(send):
                return
            data = b"".join(each.sse for each in told) or (sse.KEEPALIVE if time.monotonic() >= quiet_until else b"")
            if data:
                await write(send, data)
                # Only what was written counts: the credential may be looked at more often than the client hears of anything.
                quiet_until = time.monotonic() + conf.SSE_KEEPALIVE_SECONDS


@extend_schema(
    summary="Read topics",
    parameters=[
        query("topic", str, "A pattern; several times for several.", required=True, many=True),
        LAST_EVENT_ID,
        LAST_EVENT_ID_IN_QUERY,
        query("since", str, "The same; `0-0`: from the beginning of what is kept."),
    ],
    responses={**event_stream("What `/ws/events` tells.", example=FRAMES), 404: "", 429: "Too many open feeds."},
)
@stream_endpoint("GET")
async def topic_stream(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/topics?topic=...&topic=...`: what `/ws/events` tells, as an event stream with one cursor over all patterns."""
    scope = request.scope  # type: ignore[attr-defined]
    caller = await authenticate(scope)
    topics = request.GET.getlist("topic")
    if not topics:
        raise InvalidRequest("Name the topics: /api/topics?topic=events.org_demo.tasks.task.completed.*")
    if len(topics) > 2 * conf.TOPICS_PER_CONNECTION:
        raise InvalidRequest(f"At most {2 * conf.TOPICS_PER_CONNECTION} topics are accepted at once.")
    since = (request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or request.GET.get("since") or "")[
        : LONGEST + 1
    ]
    hub = current_hub()
    reader = TopicReader(hub, caller, page=conf.EVENTS_REPLAY_MAX_PER_REQUEST if since else None)
    slot = await hub.slots.take(caller.user_id, replays=bool(since))

    async def closing() -> None:
        await asyncio.gather(reader.close(), slot.give_back())

    try:
        in_force, refusals, recovered = await reader.subscribe(topics, since=since)
    except BaseException:
        await closing()
        raise
    if (refused := refusal_of_all(in_force, refusals)) is not None:
        await closing()
        raise refused
    first = topic_frames.subscribed(in_force, reader.cursor, recovered=recovered).sse
    errors = b"".join(topic_frames.refused(each).sse for each in refusals)
    return TopicStreamResponse(
        reader,
        prelude=sse.CONNECTED + sse.retry(BACK_AT_ONCE_MS) + first + errors,
        guard=Guard(scope, caller),
        expired=EXPIRED,
        closing=closing,
    )


def refusal_of_all(in_force: Sequence[str], refusals: Sequence[Refusal]) -> Exception | None:
    """Why there is no stream at all, if there is none.

    Where nothing is in force nothing would ever come: a browser that only sees one of several errors sees the first. And
    where a store is away, the cursor of the rest would not name what it keeps: who came back with it would miss that.
    """
    if not in_force:
        return refusals[0].error
    return next((each.error for each in refusals if isinstance(each.error, Unavailable)), None)


class TopicPublishView(APIView):
    """`POST /api/v1/topics/publish`: events on topics, by those who may (see docs/explanation/topics.md)."""

    @extend_schema(
        summary="Publish on topics",
        description="One event, or a list; all or none.",
        request=PolymorphicProxySerializer(
            "TopicPublishing",
            [TopicPublicationSerializer, TopicPublicationSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        responses={202: list_of(PublishedSerializer), 404: "There is no such organisation.", 422: "", 429: ""},
        examples=[PUBLICATION],
    )
    def post(self, request: Request) -> Response:
        """Publishes one event or up to TOPIC_PUBLISH_MAX: all or, when one is wrong, none."""
        declared = request.META.get("CONTENT_LENGTH") or "0"
        if declared.isdigit() and int(declared) > conf.TOPIC_PUBLISH_MAX_BYTES:
            raise TooLarge(f"The body is larger than {conf.TOPIC_PUBLISH_MAX_BYTES} bytes.")
        items = request.data if isinstance(request.data, list) else [request.data]
        if not items or len(items) > conf.TOPIC_PUBLISH_MAX:
            raise InvalidRequest(f"1 to {conf.TOPIC_PUBLISH_MAX} events are accepted at once.")
        published = topic_publishing.publish_from_outside(caller=caller_of(request), items=_checked(items))
        return Response({"results": [{"id": e.id, "topic": e.topic, "cursor": e.cursor} for e in published]}, status=202)


def _checked(items: list[Any]) -> list[dict[str, Any]]:
    """The items as their serializer leaves them. Raises `Unprocessable` with what is wrong, by item and field."""
    serializers = [TopicPublicationSerializer(data=item) for item in items]
    errors = [
        {"loc": ["body", number, field], "msg": str(message), "type": "value_error", "input": None}
        for number, serializer in enumerate(serializers)
        if not serializer.is_valid()
        for field, messages in serializer.errors.items()
        for message in (messages if isinstance(messages, list) else [messages])
    ]
    if errors:
        raise Unprocessable("Some events are not as they must be; none was published.", errors=errors)
    return [serializer.validated_data for serializer in serializers]
