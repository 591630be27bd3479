"""Whole documents, put together again from their chunks."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F

from accounts.caller import Caller
from events.exceptions import NotFound
from knowledge.models import Document
from knowledge.services.sources import visible


@dataclass(frozen=True, slots=True)
class WholeDocument:
    """A document's text; `truncated` when it was cut at the asked number of tokens."""

    title: str
    text: str
    storage_key: str
    source_id: str
    path: str
    tokens: int
    truncated: bool
    metadata: dict[str, Any]


def read(*, caller: Caller, storage_key: str = "", path: str = "", max_tokens: int | None = None) -> WholeDocument:
    """The document with this storage key, or the newest one with this path (the name of its source).

    With `max_tokens`, whole chunks from its beginning that together have no more (at least one). Raises `NotFound`.
    """
    query = Document.objects.filter(source__in=visible(caller), generation=F("source__generation")).select_related("source")
    query = query.filter(source__storage_key=storage_key) if storage_key else query.filter(path=path)
    document = query.order_by("-created_at").first()
    if document is None:
        raise NotFound(f"There is no document {storage_key or path!r} that you may read, or it is still being taken in.")
    parts: list[str] = []
    end = tokens = 0
    truncated = False
    for chunk in document.chunks.order_by("position").iterator(chunk_size=500):
        if max_tokens is not None and parts and tokens + chunk.tokens > max_tokens:
            truncated = True
            break
        # What a chunk repeats of the one before is left out; where white space was dropped between two, one line end stands.
        parts.append("\n" if chunk.start > end and parts else "")
        parts.append(chunk.text[max(0, end - chunk.start) :])
        end = chunk.end
        tokens += chunk.tokens
    source = document.source
    return WholeDocument(
        document.title, "".join(parts), source.storage_key, str(source.pk), document.path, tokens, truncated, source.metadata
    )
