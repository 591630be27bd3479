"""The request of the RAG chat (S2): every field and bound of its document, with errors as FastAPI words them."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

from chat.bodies import checked
from events.exceptions import InvalidRequest
from knowledge.filters import condition_of

MOST_SOURCES = 100
"""The document has no bound here; without one, a body could ask for thousands of searches."""
_LONE_HALF = re.compile("[\ud800-\udfff]")


def _storable_text(text: str) -> str:
    """The same, if the database can hold it: neither NUL nor halves of characters."""
    if "\x00" in text:
        raise PydanticCustomError("string_nul", "String should not contain NUL characters")
    if _LONE_HALF.search(text):
        # Pydantic itself says so only of strings that it has to measure.
        raise PydanticKnownError("string_unicode")
    return text


def _usable_filters(filters: dict[str, Any]) -> dict[str, Any]:
    """The same, if a search can be made with it: refused here, and not when the answer has begun."""
    try:
        condition_of(filters)
    except InvalidRequest as error:
        raise PydanticCustomError("filters_invalid", "{reason}", {"reason": error.message}) from None
    for key, wanted in filters.items():
        values = wanted if isinstance(wanted, list) else wanted.values() if isinstance(wanted, dict) else [wanted]
        for value in (key, *values):
            if isinstance(value, str):
                _storable_text(value)
            elif isinstance(value, float) and not math.isfinite(value):
                raise PydanticKnownError("finite_number")
    return filters


Storable = AfterValidator(_storable_text)
Text = Annotated[str, Storable]
FilledText = Annotated[str, Field(min_length=1), Storable]


class _Model(BaseModel):
    # What this server does not know is for other servers of the same clients.
    model_config = ConfigDict(extra="ignore")


class HistoryMessage(_Model):
    """An earlier message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: FilledText


class DataSource(_Model):
    """One source to search, and how."""

    name: Text
    model_name: Text
    limit: Annotated[int, Field(ge=1, le=50)] = 5
    similarity_threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    weight: Annotated[float, Field(ge=0, le=2)] = 1.0
    metadata_filters: Annotated[dict[str, Any], AfterValidator(_usable_filters)] | None = None


class RAGConfig(_Model):
    """Which sources to search, and how to join what they give."""

    sources: Annotated[list[DataSource], Field(max_length=MOST_SOURCES)] = []
    retrieval_strategy: Literal["merge", "sequential", "ensemble"] = "merge"
    max_total_results: Annotated[int, Field(ge=1, le=50)] = 10


class AttachedDocument(_Model):
    """One to answer from. Its last two fields S2 lists where they may be read as of each one or of all: both work."""

    storage_key: FilledText
    title: Text | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    include_full_content: bool | None = None


class AttachmentConfig(_Model):
    """Documents to answer from, and how much of them all together."""

    attachments: Annotated[list[AttachedDocument], Field(max_length=20)] = []
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    include_full_content: bool = True


class ChatCompletionRequest(_Model):
    """The body of `POST /api/v1/chat/stream` and `/complete`."""

    query: Annotated[str, Field(min_length=1, max_length=10000), Storable]
    history: Annotated[list[HistoryMessage], Field(max_length=50)] = []
    context_mode: Literal["rag", "attachment", "hybrid", "document", "none"] = "rag"
    rag_config: RAGConfig | None = None
    attachment_config: AttachmentConfig | None = None
    document_paths: Annotated[list[FilledText], Field(max_length=20)] | None = None
    embedding_model: Text = "openai-small"
    llm_model: Text = "gpt-4o-mini"
    system_prompt: Text | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 1024
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    conversation_id: Annotated[str, Field(max_length=255), Storable] | None = None


def parse(body: bytes) -> ChatCompletionRequest:
    """The checked request of a body; raises `Unprocessable`, each error's `loc` beginning with `body`."""
    return checked(ChatCompletionRequest, body)
