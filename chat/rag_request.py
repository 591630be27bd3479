"""The request of the RAG chat (S2): every field and bound of its document, with errors as FastAPI words them."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, to_jsonable_python

from events.exceptions import Unprocessable


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("string_nul", "String should not contain NUL characters")
    return text


NoNul = AfterValidator(_without_nul)
Text = Annotated[str, NoNul]
FilledText = Annotated[str, Field(min_length=1), NoNul]


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
    metadata_filters: dict[str, Any] | None = None


class RAGConfig(_Model):
    """Which sources to search, and how to join what they give."""

    sources: list[DataSource] = []
    retrieval_strategy: Literal["merge", "sequential", "ensemble"] = "merge"
    max_total_results: Annotated[int, Field(ge=1, le=50)] = 10


class AttachedDocument(_Model):
    """A document to answer from."""

    storage_key: FilledText
    title: Text | None = None


class AttachmentConfig(_Model):
    """Documents to answer from, and how much of them."""

    attachments: Annotated[list[AttachedDocument], Field(max_length=20)] = []
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    include_full_content: bool = True


class ChatCompletionRequest(_Model):
    """The body of `POST /api/v1/chat/stream` and `/complete`."""

    query: Annotated[str, Field(min_length=1, max_length=10000), NoNul]
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
    conversation_id: Annotated[str, Field(max_length=255), NoNul] | None = None


def parse(body: bytes) -> ChatCompletionRequest:
    """The checked request of a body; raises `Unprocessable`, each error's `loc` beginning with `body`."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        position = getattr(error, "pos", 0)
        reason = getattr(error, "msg", "The body is nested too deeply" if isinstance(error, RecursionError) else str(error))
        wrong = {
            "type": "json_invalid",
            "loc": ["body", position],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": reason},
        }
        raise Unprocessable(errors=[wrong]) from None
    try:
        return ChatCompletionRequest.model_validate(data)
    except ValidationError as error:
        raise Unprocessable(errors=[_as_fastapi(each) for each in error.errors(include_url=False)]) from None


def _as_fastapi(error: Any) -> dict[str, Any]:
    shown: dict[str, Any] = to_jsonable_python(
        error | {"loc": ["body", *error["loc"]]}, serialize_unknown=True, inf_nan_mode="strings"
    )
    return shown
