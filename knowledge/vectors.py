"""Where embeddings are kept and searched: pgvector when the database has it, else plain bytes and numpy.

What the database has was decided when it was migrated; the column says which it was. Both
find the same chunks: similarity is the cosine, vectors have length 1.
"""

import heapq
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from django.db import connection, transaction
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
    """The table `knowledge_vector`: one or more embeddings of each chunk, of which the nearest counts."""

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

    def add(self, *, document: int, first: int, vectors: Sequence[Sequence[Vector]]) -> None:
        """Adds the embeddings of a document's chunks, those at the positions from `first` on."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM knowledge_chunk WHERE document_id = %s AND position >= %s ORDER BY position", [document, first]
            )
            ids = [row[0] for row in cursor.fetchall()]
            with cursor.copy("COPY knowledge_vector (chunk_id, document_id, embedding) FROM STDIN") as copy:
                for chunk_id, several in zip(ids, vectors, strict=True):
                    for vector in several:
                        copy.write_row([chunk_id, document, self.packed(vector)])


def _from(condition: Condition) -> str:
    """Chunks are only looked at when there is something to ask of them."""
    return "knowledge_vector v JOIN knowledge_chunk c ON c.id = v.chunk_id" if condition.sql else "knowledge_vector v"


class PgVectorStore(VectorStore):
    """pgvector. The dimensions differ by model, so the column has none and each search names its own."""

    def packed(self, vector: Vector) -> str:
        """pgvector's text form, with as many digits as a float4 holds."""
        return f"[{','.join(np.char.mod('%.7g', vector))}]"

    def nearest(self, *, documents: Sequence[int], vector: Vector, limit: int, condition: Condition = ANY) -> list[Near]:
        """One exact scan of the documents' embeddings, inside Postgres."""
        # All have length 1: the inner product is the cosine, and 0 where a text has no words and its vector is zeros.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT v.chunk_id, -min(v.embedding <#> %s::vector) AS similarity "  # noqa: S608 - placeholders
                f"FROM {_from(condition)} WHERE v.document_id = ANY(%s) {condition.sql} "
                "GROUP BY v.chunk_id ORDER BY similarity DESC, v.chunk_id LIMIT %s",
                [self.packed(vector), list(documents), *condition.params, limit],
            )
            return [Near(*row) for row in cursor.fetchall()]

    def similarities(self, *, chunks: Sequence[int], vector: Vector) -> dict[int, float]:
        """As `VectorStore.similarities`."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT chunk_id, -min(embedding <#> %s::vector) FROM knowledge_vector "
                "WHERE chunk_id = ANY(%s) GROUP BY chunk_id",
                [self.packed(vector), list(chunks)],
            )
            return dict(cursor.fetchall())


class BytesVectorStore(VectorStore):
    """Float32 in a bytea column, compared by numpy: for a Postgres without pgvector."""

    def packed(self, vector: Vector) -> bytes:
        """Four bytes a number, little-endian."""
        return vector.astype("<f4").tobytes()

    def nearest(self, *, documents: Sequence[int], vector: Vector, limit: int, condition: Condition = ANY) -> list[Near]:
        """Reads the documents' embeddings some thousand at a time, and keeps the best."""
        best: dict[int, float] = {}
        query = (
            f"SELECT v.chunk_id, v.embedding FROM {_from(condition)} "  # noqa: S608 - placeholders
            f"WHERE v.document_id = ANY(%s) {condition.sql}"
        )
        # A cursor of psycopg's own: embeddings come as bytes and not as hexadecimal digits, and not all at once.
        with transaction.atomic(), connection.cursor() as django_cursor:
            name = f"vectors_{uuid.uuid4().hex}"
            with django_cursor.connection.cursor(name, binary=True) as cursor:
                cursor.execute(query, [list(documents), *condition.params])
                while rows := cursor.fetchmany(READ_AT_ONCE):
                    for chunk_id, similarity in _compared(rows, vector):
                        best[chunk_id] = max(similarity, best.get(chunk_id, -1.0))
                    best = dict(heapq.nlargest(limit, best.items(), key=_nearest_first))
        return [Near(*item) for item in sorted(best.items(), key=_nearest_first, reverse=True)]

    def similarities(self, *, chunks: Sequence[int], vector: Vector) -> dict[int, float]:
        """As `VectorStore.similarities`."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT chunk_id, embedding FROM knowledge_vector WHERE chunk_id = ANY(%s)", [list(chunks)])
            found: dict[int, float] = {}
            for chunk_id, similarity in _compared(cursor.fetchall(), vector):
                found[chunk_id] = max(similarity, found.get(chunk_id, -1.0))
            return found


def _nearest_first(item: tuple[int, float]) -> tuple[float, int]:
    return item[1], -item[0]


def _compared(rows: Sequence[tuple[int, bytes]], vector: Vector) -> list[tuple[int, float]]:
    if not rows:
        return []
    matrix = np.frombuffer(b"".join(bytes(data) for _, data in rows), "<f4").reshape(len(rows), -1)
    return list(zip([chunk_id for chunk_id, _ in rows], (matrix @ vector).tolist(), strict=True))


@lru_cache(maxsize=4)
def _store_of(database: str) -> VectorStore:
    del database
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = 'knowledge_vector'::regclass AND attname = 'embedding' AND NOT attisdropped"
        )
        row = cursor.fetchone()
    return BytesVectorStore() if row is not None and row[0] == "bytea" else PgVectorStore()


def vector_store() -> VectorStore:
    """The store that this database has."""
    return _store_of(str(connection.settings_dict["NAME"]))


def forget_store() -> None:
    """Looks again, after the column's type was changed."""
    _store_of.cache_clear()
