"""The RAG chat (S2): asked for as a stream or whole, and resumed."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from accounts.authentication import authenticate
from accounts.threads import in_thread
from chat.conf import conf
from chat.dialects.rag import RAGDialect
from chat.engines.base import EngineError
from chat.engines.registry import selected_engine
from chat.models import Message
from chat.rag_request import ChatCompletionRequest, parse
from chat.run_events import Type
from chat.services import conversations, questions
from chat.services.questions import Question
from chat.snapshot import Snapshot
from chat.views.following import follow, take_slot
from chat.views.streams import read_cursor
from events.event import START, Event, is_terminal
from events.exceptions import Unavailable
from events.feed import Feed
from events.guard import Guard
from events.hub import current_hub
from events.responses import stream_endpoint

DIALECT = RAGDialect()
GROUNDING_FIELDS = {"context_mode", "rag_config", "attachment_config", "document_paths", "embedding_model"}


class EngineNotConfigured(Unavailable):
    """No language model is configured. Set CHAT_ENGINE, or OPENAI_BASE_URL."""

    code = "engine_not_configured"


@stream_endpoint("POST", body_limit=conf.CHAT_BODY_MAX_BYTES, error_shape="detail")
async def stream(request: HttpRequest) -> HttpResponseBase:
    """`POST /api/v1/chat/stream`: sources, then the text as it comes, then done."""
    message = await _ask(request)
    return await follow(message, START, dialect=DIALECT, location=_location(message))


@stream_endpoint("GET", error_shape="detail")
async def resume(request: HttpRequest, message_id: str) -> HttpResponseBase:
    """`GET /api/v1/chat/stream/<message_id>`: the rest after a cursor."""
    scope = request.scope  # type: ignore[attr-defined]
    caller = await authenticate(scope)
    id_ = conversations.parse_id(message_id, what="message_id")
    message = await in_thread(conversations.message_of, caller=caller, message_id=id_)
    cursor = read_cursor(request.headers, request.GET)
    slot = await take_slot(caller)
    return await follow(message, cursor, dialect=DIALECT, location=_location(message), guard=Guard(scope, caller), slot=slot)


@stream_endpoint("POST", body_limit=conf.CHAT_BODY_MAX_BYTES, error_shape="detail")
async def complete(request: HttpRequest) -> HttpResponseBase:
    """`POST /api/v1/chat/complete`: the same, in one piece when it is over."""
    message = await _ask(request)
    events = await _all_events(message)
    snapshot, last = Snapshot.of(events), events[-1]
    if last.type == Type.FAILED:
        status = 503 if last.data["retryable"] else 502
        return JsonResponse({"detail": last.data["message"], "code": last.data["code"]}, status=status)
    return JsonResponse(
        {
            "content": "".join(snapshot.text),
            "sources": snapshot.sources,
            "completed": last.type == Type.COMPLETED,
            "message_id": str(message.pk),
            "conversation_id": str(message.conversation_id),
            "usage": snapshot.usage,
        }
    )


async def _ask(request: HttpRequest) -> Message:
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    asked = parse(request.body)
    try:
        selected_engine()
    except EngineError as error:
        raise EngineNotConfigured(error.message) from error
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
    if "llm_model" in asked.model_fields_set:
        # The default of the document names one provider's model; which one answers here is the engine's to say.
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
    return f"/api/v1/chat/stream/{message.pk}"


async def _all_events(message: Message) -> list[Event]:
    events: list[Event] = []
    feed = Feed(hub=current_hub(), stream=questions.message_stream(message.pk), cursor=START)
    async with feed:
        while (batch := await feed.next()) is not None:
            events += batch.events
    if not events or not is_terminal(events[-1]):
        raise Unavailable(f"The server is stopping. The answer goes on: GET {_location(message)}.")
    return events
