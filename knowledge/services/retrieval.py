"""Finding the passages that answer a question, in one source or many.

Scores are on the scale of requests: 0.7 is a passage that just answers, whatever model embedded
it (`BaseEmbedder.score`). What is found is always of complete generations that the caller may see.
"""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from accounts.caller import Caller
from accounts.threads import in_thread
from events.exceptions import InvalidRequest, Unavailable
from knowledge.embeddings.base import BaseEmbedder, EmbeddingError
from knowledge.embeddings.registry import embedder
from knowledge.filters import condition_of
from knowledge.fulltext import matching
from knowledge.models import Chunk, Document, Source
from knowledge.services.sources import visible
from knowledge.vectors import Condition, Vector, vector_store

STRATEGIES = ("merge", "sequential", "ensemble")
DEEPER = 4
"""How many more candidates than asked for ensemble looks at in each list: what is 7th in both beats what is 1st in one."""
WORDS_SHARE = 0.5
"""What the list of full text counts beside that of nearness. With 1 ensemble found less than nearness alone, measured on the
questions in `tests/knowledge`; from 0.4 to 0.8 it finds at least as much and ranks it higher."""
RANK_CONSTANT = 60
"""Of reciprocal rank fusion: Cormack, Clarke and Buettcher, 2009."""


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """What to look for in which sources: those called `name` (or with that id), or the given ones, or all (neither)."""

    name: str = ""
    source_ids: tuple[uuid.UUID, ...] = ()
    storage_keys: tuple[str, ...] = ()
    limit: int = 5
    similarity_threshold: float = 0.7
    weight: float = 1.0
    metadata_filters: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A found chunk. `score` orders the result; `similarity` is on the scale of `similarity_threshold`."""

    chunk_id: int
    score: float
    similarity: float
    text: str
    heading: str
    title: str
    path: str
    position: int
    start: int
    end: int
    document_id: int
    source_id: str
    source_name: str
    storage_key: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found, best first, and the names of sources that are not there for this caller."""

    passages: list[Passage]
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Hit:
    chunk_id: int
    similarity: float
    score: float


def retrieve(
    *, caller: Caller, query: str, sources: Sequence[SourceQuery] = (), strategy: str = "merge", max_total: int = 10
) -> Retrieval:
    """Searches one source after the other, for synchronous code; the strategies are those of `aretrieve`.

    Raises `InvalidRequest` for an unknown strategy or a filter that is none, `Unavailable` when the model cannot be used.
    """
    wanted = _checked(sources, strategy)
    return _combined(wanted, [_search(caller, query, each, strategy) for each in wanted], strategy, max_total)


async def aretrieve(
    *, caller: Caller, query: str, sources: Sequence[SourceQuery] = (), strategy: str = "merge", max_total: int = 10
) -> Retrieval:
    """Searches as `strategy` says, and raises as `retrieve` does.

    merge: all sources at once, ordered by similarity times weight. sequential: in the given order until `max_total`
    passages are found. ensemble: reciprocal rank fusion of nearness in meaning and of full text, over all sources.
    """
    wanted = _checked(sources, strategy)
    if strategy != "sequential":
        found = await asyncio.gather(*(in_thread(_search, caller, query, each, strategy) for each in wanted))
        return _combined(wanted, found, strategy, max_total)
    found = []
    for each in wanted:
        found.append(await in_thread(_search, caller, query, each, strategy))
        if sum(len(passages or ()) for passages in found) >= max_total:
            break
    return _combined(wanted, found, strategy, max_total)


def _checked(sources: Sequence[SourceQuery], strategy: str) -> Sequence[SourceQuery]:
    if strategy not in STRATEGIES:
        raise InvalidRequest(f"There is no retrieval strategy called {strategy[:50]!r}. Known: {', '.join(STRATEGIES)}.")
    return sources or (SourceQuery(),)


def _search(caller: Caller, query: str, wanted: SourceQuery, strategy: str) -> list[Passage] | None:
    """The passages of one entry, best first; None when it names nothing that is there."""
    condition = condition_of(wanted.metadata_filters)
    found = _sources(caller, wanted)
    if not found and (wanted.name or wanted.source_ids or wanted.storage_keys):
        return None
    by_model: dict[str, list[uuid.UUID]] = {}
    for pk, model, generation in found:
        if generation:
            by_model.setdefault(model, []).append(pk)
    questions = {model: _embedded(model, query) for model in by_model}
    with _one_snapshot():
        hits: list[_Hit] = []
        for model, ids in by_model.items():
            documents = list(
                Document.objects.filter(source__in=ids, generation=F("source__generation")).values_list("pk", flat=True)
            )
            hits += _ModelSearch(*questions[model], query, documents, wanted, condition).hits(strategy)
        hits.sort(key=lambda hit: (-hit.score, hit.chunk_id))
        return _passages(hits[: wanted.limit])


def _embedded(model: str, query: str) -> tuple[BaseEmbedder, Vector]:
    try:
        known = embedder(model)
        (vector,) = known.embed([query])
    except EmbeddingError as error:
        raise Unavailable(str(error)) from error
    return known, vector


@contextmanager
def _one_snapshot() -> Iterator[None]:
    """All reads see one moment: a generation that is replaced meanwhile is found as a whole, or its follower is."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _sources(caller: Caller, wanted: SourceQuery) -> list[tuple[uuid.UUID, str, int]]:
    query = visible(caller)
    if wanted.source_ids or wanted.storage_keys:
        query = query.filter(Q(pk__in=wanted.source_ids) | Q(storage_key__in=wanted.storage_keys))
    else:
        query = query.filter(purpose=Source.Purpose.SOURCE)
    if wanted.name:
        query = query.filter(_named(wanted.name))
    return list(query.values_list("pk", "embedding_model", "generation").distinct())


def _named(name: str) -> Q:
    try:
        return Q(name=name) | Q(pk=uuid.UUID(name))
    except ValueError:
        return Q(name=name)


class _ModelSearch:
    """One entry's search in the documents that one model embedded."""

    def __init__(
        self, model: BaseEmbedder, vector: Vector, query: str, documents: list[int], wanted: SourceQuery, condition: Condition
    ) -> None:
        self._model, self._vector = model, vector
        self._query, self._documents, self._wanted, self._condition = query, documents, wanted, condition

    def hits(self, strategy: str) -> list[_Hit]:
        """The best chunks, in no particular order."""
        return self._fused() if strategy == "ensemble" else self._near(self._wanted.limit)

    def _near(self, limit: int) -> list[_Hit]:
        near = vector_store().nearest(documents=self._documents, vector=self._vector, limit=limit, condition=self._condition)
        scored = [(each.chunk_id, self._model.score(each.similarity)) for each in near]
        return [
            _Hit(chunk_id, score, score * self._wanted.weight)
            for chunk_id, score in scored
            if score >= self._wanted.similarity_threshold
        ]

    def _fused(self) -> list[_Hit]:
        """Reciprocal rank fusion, weighted; the first of both lists scores `weight`."""
        depth = DEEPER * self._wanted.limit
        near = self._near(depth)
        words = matching(documents=self._documents, query=self._query, limit=depth, condition=self._condition)
        fused: dict[int, float] = {}
        for ranked, share in (([hit.chunk_id for hit in near], 1.0), ([match.chunk_id for match in words], WORDS_SHARE)):
            for rank, chunk_id in enumerate(ranked, 1):
                fused[chunk_id] = fused.get(chunk_id, 0.0) + share / (RANK_CONSTANT + rank)
        similarities = {hit.chunk_id: hit.similarity for hit in near}
        unknown = [chunk_id for chunk_id in fused if chunk_id not in similarities]
        if unknown:
            found = vector_store().similarities(chunks=unknown, vector=self._vector)
            similarities |= {chunk_id: self._model.score(similarity) for chunk_id, similarity in found.items()}
        full = self._wanted.weight * (RANK_CONSTANT + 1) / (1 + WORDS_SHARE)
        return [
            _Hit(chunk_id, similarities[chunk_id], value * full) for chunk_id, value in fused.items() if chunk_id in similarities
        ]


def _passages(hits: Sequence[_Hit]) -> list[Passage]:
    chunks = Chunk.objects.select_related("document__source").in_bulk([hit.chunk_id for hit in hits])
    return [_passage(hit, chunks[hit.chunk_id]) for hit in hits if hit.chunk_id in chunks]


def _passage(hit: _Hit, chunk: Chunk) -> Passage:
    document, source = chunk.document, chunk.document.source
    return Passage(
        chunk_id=chunk.pk,
        score=round(hit.score, 6),
        similarity=round(hit.similarity, 6),
        text=chunk.text.strip(),
        heading=chunk.heading,
        title=document.title,
        path=document.path,
        position=chunk.position,
        start=chunk.start,
        end=chunk.end,
        document_id=document.pk,
        source_id=str(source.pk),
        source_name=source.name,
        storage_key=source.storage_key,
        metadata=chunk.metadata,
    )


def _combined(wanted: Sequence[SourceQuery], found: Sequence[list[Passage] | None], strategy: str, max_total: int) -> Retrieval:
    missing = [each.name for each, passages in zip(wanted, found, strict=False) if passages is None and each.name]
    best: dict[int, Passage] = {}
    for passage in (passage for passages in found for passage in passages or ()):
        known = best.get(passage.chunk_id)
        if known is None:
            best[passage.chunk_id] = passage
        elif passage.score > known.score and strategy != "sequential":
            best[passage.chunk_id] = replace(known, score=passage.score)
    passages = list(best.values())
    if strategy != "sequential":
        passages.sort(key=lambda passage: (-passage.score, passage.chunk_id))
    return Retrieval(passages[:max_total], missing)
