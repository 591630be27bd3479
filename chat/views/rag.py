"""The RAG chat (S2): asked for as a stream or whole, and resumed."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema

from accounts.authentication import authenticate
from accounts.openapi import (
    IDEMPOTENCY_KEY,
    LAST_EVENT_ID,
    LAST_EVENT_ID_IN_QUERY,
    event_stream,
    nothing,
)
from accounts.threads import in_thread
from chat.conf import conf
from chat.dialects.rag import RAGDialect
from chat.engines.base import EngineError
from chat.engines.registry import selected_engine
from chat.models import Message, Run
from chat.rag_request import ChatCompletionRequest, parse
from chat.run_events import Type
from chat.services import answers, questions
from chat.services.questions import Question
from chat.snapshot import Snapshot
from chat.told import CompletionTold
from chat.views import following
from events.event import START, Event, is_terminal
from events.exceptions import BY_STATUS, Unavailable
from events.feed import Feed
from events.hub import current_hub
from events.responses import stream_endpoint

DIALECT = RAGDialect()
LOCATION = "/api/v1/chat/stream/{}"
QUESTION = OpenApiExample("a question", value={"query": "How hot is green tea steeped?"}, request_only=True)
FRAMES = """id: 2
data: {"type":"sources","sources":[{"title":"Tea","score":0.83}]}

id: 4
data: {"type":"text","content":"At 70 to 80 degrees"}

id: 9
data: {"type":"done"}
"""
GROUNDING_FIELDS = {"context_mode", "rag_config", "attachment_config", "document_paths"}
STATUS = {f"context_{each.code}": each.http_status for each in BY_STATUS.values()}
"""What `/complete` answers when there is no answer for a reason that lies in the request; else it is 500, or 503 to come back."""
RETRY_SECONDS = 5


class EngineNotConfigured(Unavailable):
    """No language model is configured. Set CHAT_ENGINE, or OPENAI_BASE_URL."""

    code = "engine_not_configured"

    def __init__(self, message: str = "", *, retry_after: float = 60) -> None:
        super().__init__(message, retry_after=retry_after)


@extend_schema(
    summary="Ask with sources",
    parameters=[IDEMPOTENCY_KEY],
    request=ChatCompletionRequest,
    responses={
        **event_stream("Sources, then the text as it comes, then done. `Location` says where to resume.", example=FRAMES),
        409: "",
        422: "",
        429: "",
    },
    examples=[QUESTION],
)
@stream_endpoint("POST", body_limit=conf.CHAT_BODY_MAX_BYTES, error_shape="detail")
async def stream(request: HttpRequest) -> HttpResponseBase:
    """`POST /api/v1/chat/stream`: sources, then the text as it comes, then done."""
    message = await _ask(request)
    return await following.follow(message, START, dialect=DIALECT, location=LOCATION)


@extend_schema(
    summary="Resume an answer with sources",
    parameters=[LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY],
    responses={
        **event_stream("What comes after the cursor; ends with the answer.", example=FRAMES),
        204: nothing("The answer has ended, and the cursor is its last event."),
        429: "",
    },
)
@stream_endpoint("GET", error_shape="detail")
async def resume(request: HttpRequest, message_id: str) -> HttpResponseBase:
    """`GET /api/v1/chat/stream/<message_id>`: the rest after a cursor."""
    return await following.resume(request, message_id, dialect=DIALECT, location=LOCATION)


@extend_schema(
    summary="Ask with sources and wait",
    parameters=[IDEMPOTENCY_KEY],
    request=ChatCompletionRequest,
    responses={200: CompletionTold, 404: "A document is not there.", 409: "", 422: "", 429: "", 500: ""},
    examples=[QUESTION],
)
@stream_endpoint("POST", body_limit=conf.CHAT_BODY_MAX_BYTES, error_shape="detail")
async def complete(request: HttpRequest) -> HttpResponseBase:
    """`POST /api/v1/chat/complete`: the same, in one piece when it is over."""
    message = await _ask(request)
    events = await _all_events(message)
    response = _failed(events[-1]) if events[-1].type == Type.FAILED else _answered(message, events)
    response.headers["Location"] = _location(message)
    return response


def _answered(message: Message, events: list[Event]) -> JsonResponse:
    snapshot = Snapshot.of(events)
    missing = [name for event in events if event.type == Type.SOURCES for name in event.data.get("missing", [])]
    return JsonResponse(
        {
            "content": "".join(snapshot.text),
            "sources": snapshot.sources,
            **({"missing": missing} if missing else {}),
            "completed": events[-1].type == Type.COMPLETED,
            "message_id": str(message.pk),
            "conversation_id": str(message.conversation_id),
            "usage": snapshot.usage,
        }
    )


def _failed(last: Event) -> JsonResponse:
    told = {"detail": last.data["message"], "code": last.data["code"]}
    if last.data["retryable"]:
        return JsonResponse(told, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    return JsonResponse(told, status=STATUS.get(last.data["code"], 500))


async def _ask(request: HttpRequest) -> Message:
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    asked = parse(request.body)
    try:
        selected_engine()
    except (EngineError, ImproperlyConfigured) as error:
        raise EngineNotConfigured(str(error)) from error
    return await in_thread(
        questions.ask,
        caller=caller,
        question=_question(asked),
        idempotency_key=request.headers.get("Idempotency-Key", ""),
        body=request.body,
    )


def _question(asked: ChatCompletionRequest) -> Question:
    options: dict[str, Any] = {"temperature": asked.temperature, "max_tokens": asked.max_tokens}
    if asked.seed is not None:
        options["seed"] = asked.seed
    if asked.llm_model != ChatCompletionRequest.model_fields["llm_model"].default:
        # The document's default names one provider's model, and many clients send defaults: here it leaves the choice to us.
        options["model"] = asked.llm_model
    return Question(
        text=asked.query,
        options=options,
        history=[turn.model_dump() for turn in asked.history] or None,
        system_prompt=asked.system_prompt or "",
        grounding=asked.model_dump(include=GROUNDING_FIELDS),
        conversation=asked.conversation_id or "",
    )


def _location(message: Message) -> str:
    return LOCATION.format(message.pk)


async def _all_events(message: Message) -> list[Event]:
    """The events of an answer to their end, waited for."""
    if message.run.status not in Run.OPEN and await in_thread(answers.is_pruned, message=message):
        return answers.rebuilt_events(message)
    events: list[Event] = []
    feed = Feed(hub=current_hub(), stream=questions.message_stream(message.pk), cursor=START)
    async with feed:
        while (batch := await feed.next()) is not None:
            events += batch.events
    if not events or not is_terminal(events[-1]):
        raise Unavailable(f"The server is stopping. The answer goes on: GET {_location(message)}.")
    return events
