"""What an answer is to rest on: passages of sources, given documents, or both, numbered as they are cited.

`wanted` is the part of an S2 request that says so: `context_mode`, `rag_config`, `attachment_config`,
`document_paths`, `embedding_model`.
"""

from dataclasses import dataclass, field
from typing import Any

from rest_framework.exceptions import AuthenticationFailed

from accounts.caller import Caller
from accounts.threads import in_thread
from accounts.verification import caller_of_user
from chat.conf import conf
from chat.engines.base import EngineError
from events.exceptions import ThroughlineError
from knowledge.services.documents import WholeDocument, read
from knowledge.services.retrieval import Passage, SourceQuery, aretrieve

EXCERPT_CHARS = 1000
MOST_EXCERPTS = 50
TOKENS_PER_CHAR = 0.25


@dataclass(slots=True)
class Grounding:
    """Texts for the engine, and in the same order what readers are told of them; `index` counts from 1."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, title: str, text: str, **told: Any) -> None:
        """One more text to cite."""
        self.texts.append((title, text))
        self.sources.append({"index": len(self.texts), "title": title, "text": text[:EXCERPT_CHARS], **told})


async def ground(*, query: str, wanted: dict[str, Any], user_pk: int) -> Grounding:
    """Everything the request asks to answer from. Raises `EngineError` when a document is not there or the search fails."""
    grounding = Grounding()
    mode = wanted["context_mode"]
    try:
        caller = await in_thread(caller_of_user, user_pk)
        if mode in ("rag", "hybrid"):
            await _search(grounding, caller, query, wanted)
        if mode in ("attachment", "hybrid"):
            given = (wanted.get("attachment_config") or {}).get("attachments", [])
            await _documents(grounding, caller, query, wanted, [{"storage_key": item["storage_key"]} for item in given], given)
        if mode == "document":
            paths = wanted.get("document_paths") or []
            await _documents(grounding, caller, query, wanted, [{"path": path} for path in paths], [{} for _ in paths])
    except AuthenticationFailed as error:
        raise EngineError("not_allowed", str(error.detail), retryable=False) from error
    except ThroughlineError as error:
        raise EngineError(f"context_{error.code}", error.message, retryable=error.http_status >= 500) from error
    return grounding


async def _search(grounding: Grounding, caller: Caller, query: str, wanted: dict[str, Any]) -> None:
    config = wanted.get("rag_config") or {}
    sources = [
        SourceQuery(
            name=source["name"],
            limit=source["limit"],
            similarity_threshold=source["similarity_threshold"],
            weight=source["weight"],
            metadata_filters=source["metadata_filters"],
        )
        for source in config.get("sources", [])
    ]
    found = await aretrieve(
        caller=caller,
        query=query,
        sources=sources,
        strategy=config.get("retrieval_strategy", "merge"),
        max_total=config.get("max_total_results", 10),
    )
    for passage in found.passages:
        grounding.add(passage.title, passage.text, **_told(passage))


def _told(passage: Passage) -> dict[str, Any]:
    return {
        "source": passage.source_name,
        "source_id": passage.source_id,
        "path": passage.path,
        "heading": passage.heading,
        "storage_key": passage.storage_key,
        "position": passage.position,
        "score": round(passage.score, 4),
        "similarity": round(passage.similarity, 4),
        "metadata": passage.metadata,
    }


async def _documents(
    grounding: Grounding,
    caller: Caller,
    query: str,
    wanted: dict[str, Any],
    named: list[dict[str, str]],
    given: list[dict[str, Any]],
) -> None:
    """Exactly the named documents, one number each, in their order; all of them share the tokens there are."""
    config = wanted.get("attachment_config") or {}
    left = config.get("max_tokens") or conf.CHAT_CONTEXT_TOKENS
    for number, (name, item) in enumerate(zip(named, given, strict=True)):
        # What the earlier ones did not use is for the later ones.
        share = max(1, left // (len(named) - number))
        document = await in_thread(read, caller=caller, max_tokens=share, **name)
        text = document.text
        if not config.get("include_full_content", True):
            text = await _excerpts(caller, query, document, share)
        left = max(0, left - round(len(text) * TOKENS_PER_CHAR))
        told = {"source_id": document.source_id, "path": document.path, "storage_key": document.storage_key}
        grounding.add(item.get("title") or document.title, text, **told, truncated=document.truncated, metadata=document.metadata)


async def _excerpts(caller: Caller, query: str, document: WholeDocument, tokens: int) -> str:
    """The passages of a document that fit the question best, in their order; its beginning when none fits."""
    wanted = SourceQuery(storage_keys=(document.storage_key,), limit=MOST_EXCERPTS, similarity_threshold=0.0)
    found = await aretrieve(caller=caller, query=query, sources=[wanted], strategy="ensemble", max_total=MOST_EXCERPTS)
    chosen: list[Passage] = []
    for passage in found.passages:
        tokens -= round(len(passage.text) * TOKENS_PER_CHAR)
        if chosen and tokens < 0:
            break
        chosen.append(passage)
    chosen.sort(key=lambda passage: passage.position)
    return "\n...\n".join(passage.text for passage in chosen) or document.text
