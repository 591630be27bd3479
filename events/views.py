"""Addresses of the engine: the user feed."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import authenticate
from accounts.caller import Caller
from accounts.openapi import (
    LAST_EVENT_ID,
    LAST_EVENT_ID_IN_QUERY,
    event_stream,
    query,
    shape,
)
from accounts.threads import in_thread
from events import external, sse
from events.conf import conf
from events.event import START, EventId
from events.exceptions import InvalidRequest
from events.feed import Feed
from events.guard import Guard
from events.hub import Hub, current_hub
from events.pending import pending_events
from events.responses import EventStreamResponse, stream_endpoint
from events.serializers import PublicationSerializer
from events.streams import Stream, parse_cursor
from events.userfeed import EXPIRED, UserFeedDialect

BACK_AT_ONCE_MS = 200
PUBLICATION = OpenApiExample(
    "an event", value={"user": "user_alice", "type": "report.done", "payload": {"report": "r1"}}, request_only=True
)
FRAMES = """: connected

retry: 200

id: 1795248000000-0
data: {"type":"notification.created","payload":{"title":"The report is done."}}
"""


@extend_schema(
    summary="Read the user feed",
    parameters=[
        LAST_EVENT_ID,
        LAST_EVENT_ID_IN_QUERY,
        query("pending", str, "Without a cursor: 0 leaves out what is still open.", enum=["0", "1"]),
    ],
    responses={**event_stream("Everything that happens to the caller, live.", example=FRAMES), 429: "Too many open feeds."},
)
@stream_endpoint("GET")
async def user_feed(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/events`: everything that happens to the caller, live.

    With a cursor first what was missed, at most a page of it; without one first what is still open (unless `?pending=0`).
    """
    scope = request.scope  # type: ignore[attr-defined]
    caller = await authenticate(scope)
    dialect = UserFeedDialect(Stream("user", caller.user_id))
    if not conf.ENABLE_SSE_PUSH:
        return EventStreamResponse(feed=None, encoder=dialect, prelude=sse.PUSH_DISABLED)
    hub = current_hub()
    text = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or ""
    cursor: EventId | None
    slot = await hub.slots.take(caller.user_id, replays=bool(text))
    try:
        told = b""
        if text:
            cursor = parse_cursor(dialect.stream, text)
        else:
            cursor, told = await _begin(hub, dialect, caller, pending=request.GET.get("pending") != "0")
    except BaseException:
        await slot.give_back()
        raise
    return EventStreamResponse(
        feed=Feed(
            hub=hub,
            stream=dialect.stream,
            cursor=cursor or START,
            replay_limit=conf.EVENTS_REPLAY_MAX_PER_REQUEST if text else None,
            reason="malformed" if cursor is None else "",
        ),
        encoder=dialect,
        prelude=sse.CONNECTED + sse.retry(BACK_AT_ONCE_MS) + told,
        truncated=dialect.gap_frames,
        guard=Guard(scope, caller),
        expired=EXPIRED,
        closing=slot.give_back,
    )


class PublishView(APIView):
    """`POST /api/v1/events`: events of other services, for users' feeds. For staff."""

    permission_classes = (IsAdminUser,)

    @extend_schema(
        summary="Publish into feeds",
        description="For staff: one event, or a list; all or none.",
        request=PolymorphicProxySerializer(
            "Publishing", [PublicationSerializer, PublicationSerializer(many=True)], resource_type_field_name=None, many=False
        ),
        responses={202: shape("PublishedIds", ids=serializers.ListField(child=serializers.CharField())), 404: ""},
        examples=[PUBLICATION],
    )
    def post(self, request: Request) -> Response:
        """Publishes one event or up to EVENTS_PUBLISH_MAX: all or, when one is wrong, none."""
        many = isinstance(request.data, list)
        if many and len(request.data) > conf.EVENTS_PUBLISH_MAX:
            raise InvalidRequest(f"At most {conf.EVENTS_PUBLISH_MAX} events are accepted at once.")
        only_lists: dict[str, Any] = {"allow_empty": False} if many else {}
        serializer = PublicationSerializer(data=request.data, many=many, **only_lists)
        serializer.is_valid(raise_exception=True)
        ids = external.publish_all(items=serializer.validated_data if many else [serializer.validated_data])
        return Response({"ids": ids}, status=202)


async def _begin(hub: Hub, dialect: UserFeedDialect, caller: Caller, *, pending: bool) -> tuple[EventId, bytes]:
    """From now on. The head is taken first: what becomes pending meanwhile is told twice rather than not at all."""
    stream = dialect.stream
    head = (await hub.log.heads([stream]))[stream].id
    if not pending:
        return head, b""
    events = await in_thread(pending_events, caller)
    return head, b"".join(map(dialect.pending_frame, events))
