"""Both stores find the same, the one of pgvector and the one without it."""

import numpy as np
import pytest
from django.db import connection

from knowledge.filters import condition_of
from knowledge.models import Chunk, Document
from knowledge.vectors import BytesVectorStore, PgVectorStore, forget_store, vector_store
from tests.knowledge.conftest import add_file, add_text, ready

ROWS = "name,number\n" + "".join(f"item {n},{n}\n" for n in range(300))


@pytest.fixture
def without_pgvector(transactional_db):
    """A database as it is migrated where pgvector is not to be had."""
    change = "ALTER TABLE knowledge_vector ALTER COLUMN embedding TYPE {} USING NULL"
    with connection.cursor() as cursor:
        cursor.execute(change.format("bytea"))
    forget_store()
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE knowledge_vector")
        cursor.execute(change.format("vector"))
    forget_store()


def found(document, *, limit=7, filters=None):
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    near = vector_store().nearest(documents=[document.pk], vector=vector, limit=limit, condition=condition_of(filters))
    chunks = Chunk.objects.in_bulk([each.chunk_id for each in near])
    assert vector_store().similarities(chunks=list(chunks), vector=vector) == pytest.approx(dict(near), abs=1e-5)
    return [(chunks[each.chunk_id].text, round(each.similarity, 4)) for each in near]


def test_this_database_has_pgvector(transactional_db):
    assert isinstance(vector_store(), PgVectorStore)


@pytest.fixture
def expected(alice):
    """What pgvector finds."""
    source = ready(add_file(alice, "items.csv", ROWS.encode()))
    document = Document.objects.get(source=source)
    answers = found(document), found(document, limit=400), found(document, filters={"number": {"gte": 250}})
    source.delete()
    return answers


def test_bytes_and_numpy_find_what_pgvector_finds(alice, expected, without_pgvector, monkeypatch):
    monkeypatch.setattr("knowledge.vectors.READ_AT_ONCE", 64)
    assert isinstance(vector_store(), BytesVectorStore)
    document = Document.objects.get(source=ready(add_file(alice, "items.csv", ROWS.encode())))
    assert (found(document), found(document, limit=400), found(document, filters={"number": {"gte": 250}})) == expected
    assert len(expected[1]) == 300


def test_of_several_windows_the_nearest_counts(alice, settings):
    document = Document.objects.get(source=ready(add_text(alice, "Lighthouses warn ships.")))
    chunk = document.chunks.get()
    axes = np.eye(384, dtype=np.float32)
    vector_store().add(document=document.pk, first=0, vectors=[[axes[0], axes[1]]])
    for axis in (0, 1):
        (near,) = vector_store().nearest(documents=[document.pk], vector=axes[axis], limit=5)
        assert near == (chunk.pk, pytest.approx(1.0))


def test_a_text_without_words_is_near_to_nothing(alice):
    document = Document.objects.get(source=ready(add_text(alice, "?!")))
    (near,) = vector_store().nearest(documents=[document.pk], vector=np.eye(384, dtype=np.float32)[0], limit=5)
    assert near.similarity == 0
