"""Answers as streams: asked for, resumed, looked at, stopped (S0)."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from pydantic import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import authenticate, caller_of
from accounts.caller import Caller
from accounts.openapi import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    LAST_EVENT_ID_IN_QUERY,
    event_stream,
    nothing,
)
from accounts.threads import in_thread
from chat.approval_requests import ToolActionsBody
from chat.approvals import resuming
from chat.conf import conf
from chat.dialects.docsgpt import DocsGPTDialect
from chat.serializers import QuestionSerializer, first_error
from chat.services import answers, questions
from chat.told import StoppedTold, TailTold
from chat.views.following import cursor_of, follow, resume
from events.event import START
from events.exceptions import InvalidRequest
from events.paging import parse_id
from events.responses import EventStreamResponse, stream_endpoint

DIALECT = DocsGPTDialect()
LOCATION = "/api/messages/{}/events"
BODIES: list[Any] = [QuestionSerializer, ToolActionsBody]
"""A question, or decisions about what an answer asks."""
FRAMES = """:
data: {"type":"message_id","message_id":"5f7a...","conversation_id":"91c2..."}

id: 2
data: {"type":"answer","answer":"A cursor is"}

id: 5
data: {"type":"end"}
"""


@extend_schema(
    summary="Ask",
    parameters=[IDEMPOTENCY_KEY],
    request=PolymorphicProxySerializer("Asking", BODIES, resource_type_field_name=None),
    responses={
        **event_stream("The answer, to its end. `Location` says where it can be read again.", example=FRAMES),
        404: "There is no such conversation, or application.",
        409: "The conversation is busy, nothing waits, or someone else has just decided.",
        410: "What is decided about is over.",
        422: "What was edited does not fit.",
        429: "",
    },
    examples=[OpenApiExample("a question", value={"question": "What is a cursor?"}, request_only=True)],
)
@stream_endpoint("POST", body_limit=conf.CHAT_BODY_MAX_BYTES)
async def ask(request: HttpRequest) -> HttpResponseBase:
    """Accepts a question, or decisions about the tool calls of an answer, and streams the answer. It goes on without readers."""
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    actions = parse_actions(request.body)
    if actions is not None:
        return await _resume(caller, actions)
    question = parse_question(request.body)
    message = await in_thread(
        questions.ask,
        caller=caller,
        question=question,
        idempotency_key=request.headers.get("Idempotency-Key", ""),
        body=request.body,
    )
    return await follow(message, START, dialect=DIALECT, location=LOCATION)


async def _resume(caller: Caller, wanted: ToolActionsBody) -> HttpResponseBase:
    """The rest of an answer that waited, after what its reader had seen then."""
    actions = {action.call_id: action.to_decision() for action in wanted.tool_actions}
    resumed = await in_thread(resuming.resume, caller=caller, conversation_id=wanted.conversation_id, actions=actions)
    response = await follow(resumed.message, resumed.cursor, dialect=DIALECT, location=LOCATION)
    if isinstance(response, EventStreamResponse):
        # As for a question, the first frame says which answer it is; it is no place to resume from.
        response.prelude += DIALECT.begun(str(resumed.message.pk), str(resumed.message.conversation_id))
    return response


@extend_schema(
    summary="Read an answer",
    parameters=[LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY],
    responses={
        **event_stream("What comes after the cursor; ends with the answer.", example=FRAMES),
        204: nothing("The answer has ended, and the cursor is its last event."),
        429: "",
    },
)
@stream_endpoint("GET")
async def events(request: HttpRequest, message_id: str) -> HttpResponseBase:
    """The rest of an answer after a cursor: what there is, then live. 204 when there is nothing after it and never will be."""
    return await resume(request, message_id, dialect=DIALECT, location=LOCATION)


class TailView(APIView):
    """`GET /api/messages/<id>/tail`: the answer so far, in one piece."""

    error_shape = "success"

    @extend_schema(
        summary="Look at an answer",
        parameters=[LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY],
        responses={200: TailTold, 503: "The cursor is of more than can be read just now."},
    )
    def get(self, request: Request, message_id: str) -> Response:
        """See S0."""
        id_ = parse_id(message_id, what="message_id")
        return Response(answers.tail(caller=caller_of(request), message_id=id_, cursor=cursor_of(request, id_)))


class StopView(APIView):
    """`POST /api/messages/<id>/stop`: ends an answer. Again, or after its end, it changes nothing."""

    error_shape = "success"

    @extend_schema(summary="Stop an answer", request=None, responses={202: StoppedTold})
    def post(self, request: Request, message_id: str) -> Response:
        """See S0."""
        id_ = parse_id(message_id, what="message_id")
        status = answers.stop(caller=caller_of(request), message_id=id_)
        return Response({"success": True, "message_id": str(id_), "status": status}, status=202)


def parse_actions(body: bytes) -> ToolActionsBody | None:
    """The checked `tool_actions` of a body; None: it has none. Raises `InvalidRequest` with the first thing wrong."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, Mapping) or "tool_actions" not in data:
        return None
    try:
        return ToolActionsBody.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def parse_question(body: bytes) -> questions.Question:
    """The checked question in a body; raises `InvalidRequest` with the first thing wrong."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(data, Mapping):
        raise InvalidRequest('The body must be a JSON object such as {"question": "..."}.')
    serializer = QuestionSerializer(data=data)
    if not serializer.is_valid():
        raise InvalidRequest(first_error(serializer.errors))
    return serializer.to_question()
