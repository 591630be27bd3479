"""What an answer is to rest on: passages of sources, given documents, or both, numbered as they are cited.

`wanted` is the part of an S2 request that says so: `context_mode`, `rag_config`, `attachment_config`,
`document_paths`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accounts.caller import Caller
from accounts.threads import in_thread
from accounts.verification import caller_of_user
from chat.conf import conf
from chat.engines.base import EngineError
from chat.engines.text import clean_json
from events.event import to_json
from events.exceptions import translated
from knowledge.extraction.chunking import TARGET_TOKENS
from knowledge.extraction.tokens import count_tokens
from knowledge.services.documents import WholeDocument, read
from knowledge.services.retrieval import Passage, SourceQuery, aretrieve

EXCERPTS_CHARS = (1000, 400, 150, 50, 0)
"""How much of each text readers are told; less where many texts would make an event too large for its readers."""
TOLD_BYTES = 60_000
MOST_PASSAGES = 50
EXCERPTS_TOKENS = 1000
"""How much of one document is taken where its whole content is not wanted and the request has no number."""
SEPARATOR = "\n...\n"
"""Between two passages of a document that do not follow each other."""


@dataclass(slots=True)
class Grounding:
    """Texts for the engine, and in the same order what readers are told of them; `index` counts from 1.

    `missing`: named sources that are not there for this caller.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    _told: list[dict[str, Any]] = field(default_factory=list)

    def add(self, title: str, text: str, *, heading: str = "", **told: Any) -> None:
        """One more text to cite."""
        # A heading often says what its text is about, and the text no longer does.
        self.texts.append((f"{title}: {heading}" if heading else title, text))
        self._told.append({"index": len(self.texts), "title": title, "heading": heading} | told)

    def event(self) -> dict[str, Any]:
        """The data of the `sources` event."""
        missing = {"missing": self.missing} if self.missing else {}
        for chars in EXCERPTS_CHARS:
            sources = [told | {"text": text[:chars]} for told, (_, text) in zip(self._told, self.texts, strict=True)]
            data: dict[str, Any] = clean_json({"sources": sources, **missing})
            if len(to_json(data)) <= TOLD_BYTES:
                return data
        # Then it is the metadata, which is the users' own.
        return data | {"sources": [each | {"metadata": {}} for each in data["sources"]]}


async def ground(*, query: str, wanted: Mapping[str, Any], user_pk: int | None) -> Grounding:
    """Everything the request asks to answer from.

    Raises `EngineError`, its code `context_...`, when a document is not there, the search cannot be made, or the user is gone.
    """
    if user_pk is None:
        raise EngineError("context_forbidden", "The account that asked this is no longer there.", retryable=False)
    mode = wanted["context_mode"]
    config = wanted.get("attachment_config") or {}
    grounding = Grounding()
    try:
        caller = await in_thread(caller_of_user, user_pk)
        if mode in ("rag", "hybrid"):
            await _search(grounding, caller, query, wanted.get("rag_config") or {})
        if mode in ("attachment", "hybrid"):
            await _Documents(grounding, caller, query, config).add(config.get("attachments", []))
        if mode == "document":
            await _Documents(grounding, caller, query, config).add(
                [{"path": path} for path in wanted.get("document_paths") or []]
            )
    except EngineError:
        raise
    except Exception as error:
        known = translated(error)
        if known is None:
            raise
        raise EngineError(f"context_{known.code}", known.message, retryable=known.http_status >= 500) from error
    return grounding


async def _search(grounding: Grounding, caller: Caller, query: str, config: Mapping[str, Any]) -> None:
    names = ("name", "limit", "similarity_threshold", "weight", "metadata_filters")
    found = await aretrieve(
        caller=caller,
        query=query,
        sources=[SourceQuery(**{name: source[name] for name in names}) for source in config.get("sources", [])],
        strategy=config.get("retrieval_strategy", "merge"),
        max_total=config.get("max_total_results", 10),
    )
    grounding.missing += found.missing
    for passage in found.passages:
        grounding.add(
            passage.title,
            passage.text,
            heading=passage.heading,
            source=passage.source_name,
            source_id=passage.source_id,
            path=passage.path,
            storage_key=passage.storage_key,
            position=passage.position,
            score=round(passage.score, 4),
            similarity=round(passage.similarity, 4),
            metadata=passage.metadata,
        )


class _Documents:
    """Exactly the named documents, one number each, in their order; all of them share the tokens there are."""

    def __init__(self, grounding: Grounding, caller: Caller, query: str, config: Mapping[str, Any]) -> None:
        self._grounding, self._caller, self._query, self._config = grounding, caller, query, config
        self._most = min(config.get("max_tokens") or conf.CHAT_CONTEXT_TOKENS, conf.CHAT_CONTEXT_TOKENS)

    async def add(self, named: list[dict[str, Any]]) -> None:
        """Each with `storage_key` or `path`; may have `title`, `max_tokens` and `include_full_content` of its own."""
        documents = [await self._read(item) for item in named]
        wanted = [
            # More than there is of a document nobody wants; one that was cut may be longer.
            limit if document.truncated else min(limit, count_tokens(document.text))
            for item, document in zip(named, documents, strict=True)
            for limit in [self._limit(item)]
        ]
        for item, document, tokens in zip(named, documents, _shares(wanted, self._most), strict=True):
            await self._add(item, document, max(1, tokens))

    def _wants_whole(self, item: Mapping[str, Any]) -> bool:
        whole = item.get("include_full_content")
        return bool(self._config.get("include_full_content", True) if whole is None else whole)

    def _limit(self, item: Mapping[str, Any]) -> int:
        """How many tokens of this one may be given."""
        default = self._most
        if not self._wants_whole(item) and self._config.get("max_tokens") is None:
            default = EXCERPTS_TOKENS
        return min(item.get("max_tokens") or default, self._most)

    async def _read(self, item: Mapping[str, Any]) -> WholeDocument:
        name = {key: item[key] for key in ("storage_key", "path") if key in item}
        # One chunk more, to be cut where the limit is: what is read ends with a whole one.
        return await in_thread(read, caller=self._caller, max_tokens=self._limit(item) + TARGET_TOKENS, **name)

    async def _add(self, item: Mapping[str, Any], document: WholeDocument, tokens: int) -> None:
        text = document.text
        if not self._wants_whole(item) and (document.truncated or count_tokens(text) > tokens):
            text = await self._best_of(document, tokens) or text
        text = await in_thread(_first_tokens, text, tokens)
        self._grounding.add(
            item.get("title") or document.title,
            text,
            source_id=document.source_id,
            path=document.path,
            storage_key=document.storage_key,
            truncated=document.truncated or len(text) < len(document.text),
            metadata=document.metadata,
        )

    async def _best_of(self, document: WholeDocument, tokens: int) -> str:
        """The passages of a document that fit the question best, in the order of the document."""
        wanted = SourceQuery(storage_keys=(document.storage_key,), limit=MOST_PASSAGES, similarity_threshold=0.0)
        found = await aretrieve(
            caller=self._caller, query=self._query, sources=[wanted], strategy="ensemble", max_total=MOST_PASSAGES
        )
        chosen: list[Passage] = []
        for passage in found.passages:
            tokens -= count_tokens(passage.text)
            if chosen and tokens < 0:
                break
            chosen.append(passage)
        chosen.sort(key=lambda passage: passage.position)
        return SEPARATOR.join(passage.text for passage in chosen)


def _shares(wanted: list[int], total: int) -> list[int]:
    """`total` among those who want so many each: the same for all, and what some leave for the others."""
    shares = [0] * len(wanted)
    for served, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[place] = min(wanted[place], total // (len(wanted) - served))
        total -= shares[place]
    return shares


def _first_tokens(text: str, tokens: int) -> str:
    """The beginning of a text, with at most so many tokens: what is found and read comes in whole chunks, which may be more."""
    if count_tokens(text) <= tokens:
        return text
    shortest, longest = 0, len(text)
    while longest - shortest > 1:
        middle = (shortest + longest) // 2
        shortest, longest = (middle, longest) if count_tokens(text[:middle]) <= tokens else (shortest, middle)
    return text[:shortest] or text[:1]
