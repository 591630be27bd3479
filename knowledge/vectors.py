"""Where embeddings are kept and searched: pgvector when the database has it, else plain bytes and numpy.

What the database has was decided when it was migrated; the column says which it was. Both
find the same chunks: similarity is the cosine, vectors have length 1.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from django.db import connection
from numpy.typing import NDArray

Vector = NDArray[np.float32]
READ_AT_ONCE = 2000


class Near(NamedTuple):
    """A chunk and the cosine between its embedding and what was asked."""

    chunk_id: int
    similarity: float


class Condition(NamedTuple):
    """A condition in SQL that begins with AND, and its parameters."""

    sql: str = ""
    params: tuple[Any, ...] = ()


ANY = Condition()


class VectorStore(ABC):
    """The column `embedding` of chunks."""

    copy_type: str
    """The Postgres type that embeddings are copied in as."""

    @abstractmethod
    def packed(self, vector: Vector) -> Any:
        """A vector as a value for COPY."""

    @abstractmethod
    def nearest(self, *, documents: Sequence[int], vector: Vector, limit: int, condition: Condition = ANY) -> list[Near]:
        """The `limit` chunks of these documents nearest to `vector`, nearest first.

        `condition`: what the chunk, `c`, must fulfil besides.
        """

    @abstractmethod
    def similarities(self, *, chunks: Sequence[int], vector: Vector) -> dict[int, float]:
        """The cosine of each of these chunks with `vector`."""


class PgVectorStore(VectorStore):
    """pgvector. The dimensions differ by model, so the column has none and each search names its own."""

    copy_type = "text"

    def packed(self, vector: Vector) -> str:
        """pgvector's text form, with as many digits as a float4 holds."""
        return f"[{','.join(np.char.mod('%.7g', vector))}]"

    def nearest(self, *, documents: Sequence[int], vector: Vector, limit: int, condition: Condition = ANY) -> list[Near]:
        """One exact scan of the documents' chunks, inside Postgres."""
        size = len(vector)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT c.id, -(c.embedding::vector({size}) <#> %s::vector({size})) AS similarity "  # noqa: S608 - an int
                f"FROM knowledge_chunk c WHERE c.document_id = ANY(%s) {condition.sql} ORDER BY similarity DESC, c.id LIMIT %s",
                [self.packed(vector), list(documents), *condition.params, limit],
            )
            return [Near(*row) for row in cursor.fetchall()]

    def similarities(self, *, chunks: Sequence[int], vector: Vector) -> dict[int, float]:
        """As `VectorStore.similarities`."""
        size = len(vector)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, -(embedding::vector({size}) <#> %s::vector({size})) "  # noqa: S608 - an int
                "FROM knowledge_chunk WHERE id = ANY(%s)",
                [self.packed(vector), list(chunks)],
            )
            return dict(cursor.fetchall())


class BytesVectorStore(VectorStore):
    """Float32 in a bytea column, compared by numpy: for a Postgres without pgvector."""

    copy_type = "bytea"

    def packed(self, vector: Vector) -> bytes:
        """Four bytes a number, little-endian."""
        return vector.astype("<f4").tobytes()

    def nearest(self, *, documents: Sequence[int], vector: Vector, limit: int, condition: Condition = ANY) -> list[Near]:
        """Reads the documents' embeddings some thousand at a time, and keeps the best."""
        best: list[tuple[float, int]] = []
        query = f"SELECT c.id, c.embedding FROM knowledge_chunk c WHERE c.document_id = ANY(%s) {condition.sql}"  # noqa: S608
        with connection.cursor() as django_cursor, django_cursor.connection.cursor(binary=True) as cursor:
            for row in _many(cursor.stream(query, [list(documents), *condition.params], size=READ_AT_ONCE)):
                ids, matrix = row
                scores = matrix @ vector
                found = [(float(scores[index]), -ids[index]) for index in np.argsort(-scores)[:limit]]
                best = heapq.nlargest(limit, best + found)
        return [Near(-negated, similarity) for similarity, negated in best]

    def similarities(self, *, chunks: Sequence[int], vector: Vector) -> dict[int, float]:
        """As `VectorStore.similarities`."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, embedding FROM knowledge_chunk WHERE id = ANY(%s)", [list(chunks)])
            return {id_: float(np.frombuffer(data, "<f4") @ vector) for id_, data in cursor.fetchall()}


def _many(rows: Any) -> Any:
    """Rows of (id, bytes) in batches of (ids, matrix)."""
    ids: list[int] = []
    parts: list[bytes] = []
    for id_, data in rows:
        ids.append(id_)
        parts.append(bytes(data))
        if len(ids) == READ_AT_ONCE:
            yield ids, np.frombuffer(b"".join(parts), "<f4").reshape(len(ids), -1)
            ids, parts = [], []
    if ids:
        yield ids, np.frombuffer(b"".join(parts), "<f4").reshape(len(ids), -1)


@lru_cache(maxsize=4)
def _store_of(database: str) -> VectorStore:
    del database
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = 'knowledge_chunk'::regclass AND attname = 'embedding' AND NOT attisdropped"
        )
        row = cursor.fetchone()
    return BytesVectorStore() if row is not None and row[0] == "bytea" else PgVectorStore()


def vector_store() -> VectorStore:
    """The store that this database has."""
    return _store_of(str(connection.settings_dict["NAME"]))


def forget_store() -> None:
    """Looks again, after the column's type was changed."""
    _store_of.cache_clear()
