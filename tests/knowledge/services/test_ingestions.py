"""The life of an ingestion: exactly one generation is visible, whole, whatever dies or is cancelled."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.threads import in_thread
from events.exceptions import Conflict, LeaseLost
from knowledge import ingesting
from knowledge.embeddings.hashing import HashingEmbedder
from knowledge.embeddings.registry import embedder
from knowledge.models import Chunk, Document, Ingestion, Source, StoredFile
from knowledge.services import documents, ingestions, retrieval, sources
from tests.knowledge.conftest import add_file, add_text, ready, taken_in, work_off
from tests.knowledge.files import pdf_of

LONG = "".join(
    f"## Part {n}\n\nThis is part number {n} of a long text about lighthouses and ships. " * 2 + "\n\n" for n in range(200)
)


def vectors():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM knowledge_vector")
        return cursor.fetchone()[0]


def a_batch(claim, positions):
    chunks = [
        {
            "position": n,
            "text": f"text {n}",
            "heading": "",
            "start": n * 10,
            "end": n * 10 + 6,
            "tokens": 2,
            "metadata": {},
            "read": 0.5,
        }
        for n in positions
    ]
    return chunks, ingesting.embedded(embedder(claim.model), chunks)


def silence(claim):
    """As if the worker had died some time ago."""
    Ingestion.objects.filter(pk=claim.ingestion_id).update(beat_at=Now() - timedelta(hours=1))


def test_a_text_becomes_chunks_that_hold_all_of_it(alice):
    source = ready(add_text(alice, LONG))
    assert source.generation == 1
    assert source.chunks == Chunk.objects.count() > 50
    assert source.tokens > 1000
    assert source.embedding_model == HashingEmbedder.key
    assert vectors() == source.chunks
    assert documents.read(caller=alice, path="notes").text == LONG


def test_pages_and_given_metadata_are_on_the_chunks(alice):
    ready(add_file(alice, "two.pdf", pdf_of("The first page.", "The second page."), metadata={"team": "red"}))
    assert {(chunk.metadata["page"], chunk.metadata["team"]) for chunk in Chunk.objects.all()} >= {(1, "red")}


def test_the_owner_is_told_in_order_and_at_most_once_a_percent(feed, alice):
    source = ready(add_text(alice, LONG * 20))
    events = [event for event in feed() if event[0].startswith("source.ingest.")]
    assert next(type_ for type_, _ in events) == "source.ingest.queued"
    assert [type_ for type_, _ in events][-1] == "source.ingest.completed"
    assert all(data["scope"] == {"kind": "source", "id": str(source.pk)} for _, data in events)
    percents = [data["payload"]["current"] for type_, data in events if type_ == "source.ingest.progress"]
    assert len(percents) > 5
    assert percents == sorted(set(percents))
    assert events[-1][1]["payload"]["chunks_added"] == source.chunks


def test_an_attachment_is_told_in_its_own_words(feed, alice):
    source = ready(add_text(alice, "Words to read.", purpose=Source.Purpose.ATTACHMENT))
    types = dict(feed())
    assert {"attachment.queued", "attachment.progress", "attachment.completed"} <= types.keys()
    assert types["attachment.completed"]["payload"] == {
        "attachment_id": str(source.pk),
        "filename": "notes",
        "token_count": source.tokens,
        "mime_type": "text/markdown",
    }


def test_a_broken_document_fails_with_a_sentence_and_leaves_nothing(feed, alice):
    source = taken_in(add_file(alice, "broken.pdf", pdf_of("Something.")[:200]))
    assert source.status == "failed"
    assert source.error.startswith("The PDF is broken")
    assert source.generation == 0
    assert not Document.objects.exists()
    failed = dict(feed())["source.ingest.failed"]["payload"]
    assert failed["error"] == source.error
    assert failed["operation"] == "upload"


def test_while_a_source_is_taken_in_again_the_old_generation_is_found_and_then_only_the_new(alice):
    source = ready(add_text(alice, LONG))
    sources.reingest(caller=alice, source_id=source.pk)
    claim = ingestions.claim(worker="w")
    ingestions.add_chunks(claim=claim, chunks=(made := a_batch(claim, range(3)))[0], vectors=made[1], percent=1)

    def found():
        query = retrieval.SourceQuery(similarity_threshold=-1, limit=50)
        return retrieval.retrieve(caller=alice, query="lighthouses text", sources=[query], max_total=50).passages

    assert found()
    assert not [passage for passage in found() if passage.text.startswith("text ")]
    ingestions.finish(claim=claim, kind="md", chars=26)
    assert {passage.text for passage in found()} == {"text 0", "text 1", "text 2"}
    assert Chunk.objects.count() == vectors() == 3


def test_a_failed_second_ingestion_leaves_the_first_in_place(alice):
    source = ready(add_text(alice, LONG))
    sources.reingest(caller=alice, source_id=source.pk)
    claim = ingestions.claim(worker="w")
    ingestions.add_chunks(claim=claim, chunks=(made := a_batch(claim, range(3)))[0], vectors=made[1], percent=1)
    ingestions.fail(claim=claim, error="No.")
    source.refresh_from_db()
    assert (source.status, source.error, source.generation) == ("failed", "No.", 1)
    assert Chunk.objects.count() == source.chunks
    assert documents.read(caller=alice, path="notes").text == LONG


def test_only_one_ingestion_of_a_source_at_a_time(alice):
    source = add_text(alice, "text")
    with pytest.raises(Conflict):
        sources.reingest(caller=alice, source_id=source.pk)


def test_two_workers_never_claim_the_same_ingestion(alice):
    for number in range(6):
        add_text(alice, "text", name=f"source {number}")

    def claim(name):
        found = []
        while (claimed := ingestions.claim(worker=name)) is not None:
            found.append(claimed.source_id)
        connection.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = [pk for several in pool.map(claim, "abcd") for pk in several]
    assert sorted(claimed) == sorted(Source.objects.values_list("pk", flat=True))


def test_one_user_with_many_sources_does_not_keep_others_waiting(alice, bob):
    for number in range(5):
        add_text(alice, "text", name=f"source {number}")
    add_text(bob, "text", name="of bob")
    assert [ingestions.claim(worker="w").name for _ in range(2)] == ["source 0", "of bob"]


def test_the_next_worker_goes_on_where_a_dead_one_stopped(alice):
    source = add_text(alice, LONG)
    dead = ingestions.claim(worker="dead")
    reference = ready(add_text(alice, LONG, name="reference"))
    with connection.cursor() as cursor:  # The first 40 chunks, as the dead worker had added them.
        cursor.execute(
            'INSERT INTO knowledge_chunk (document_id, position, text, heading, start, "end", tokens, metadata) '
            'SELECT %s, position, text, heading, start, "end", tokens, metadata FROM knowledge_chunk '
            "WHERE document_id = %s AND position < 40 ORDER BY position",
            [dead.document_id, Document.objects.get(source=reference).pk],
        )
    first = set(Chunk.objects.filter(document_id=dead.document_id).values_list("pk", flat=True))
    silence(dead)
    assert ingestions.sweep() == 1
    source = ready(source)
    assert source.chunks == reference.chunks
    assert documents.read(caller=alice, path="notes").text == LONG
    assert first <= set(Chunk.objects.filter(document__source=source).values_list("pk", flat=True))


def test_a_worker_that_only_seemed_dead_can_add_nothing(alice):
    add_text(alice, LONG)
    frozen = ingestions.claim(worker="frozen")
    silence(frozen)
    ingestions.sweep()
    other = ingestions.claim(worker="other")
    chunks, made = a_batch(frozen, range(3))
    with pytest.raises(LeaseLost):
        ingestions.add_chunks(claim=frozen, chunks=chunks, vectors=made, percent=1)
    with pytest.raises(LeaseLost):
        ingestions.finish(claim=frozen, kind="md", chars=1)
    with pytest.raises(LeaseLost):
        ingestions.fail(claim=frozen, error="No.")
    assert ingestions.beat(claims=[frozen]) == set()
    assert ingestions.beat(claims=[other]) == {other.ingestion_id}
    assert Chunk.objects.count() == 0


def test_a_living_worker_is_left_alone_by_the_sweep(alice):
    add_text(alice, LONG)
    claim = ingestions.claim(worker="alive")
    assert ingestions.sweep() == 0
    assert ingestions.beat(claims=[claim]) == {claim.ingestion_id}


def test_a_document_over_which_workers_die_again_and_again_is_failed(feed, alice, settings):
    settings.KNOWLEDGE_ATTEMPTS = 2
    source = add_text(alice, LONG)
    for _ in range(2):
        silence(ingestions.claim(worker="w"))
        assert ingestions.sweep() == 1
    assert ingestions.claim(worker="w") is None
    source.refresh_from_db()
    assert source.status == "failed"
    assert "stopped 2 times" in source.error
    assert "source.ingest.failed" in dict(feed())
    assert Chunk.objects.count() == 0


def test_handing_back_does_not_count_as_dying(alice, settings):
    settings.KNOWLEDGE_ATTEMPTS = 1
    source = add_text(alice, "text")
    for _ in range(3):
        ingestions.hand_back(claim=ingestions.claim(worker="w"))
    assert ready(source).status == "ready"


def test_cancelling_ends_it_and_its_worker_adds_nothing_more(feed, alice):
    source = add_text(alice, LONG)
    claim = ingestions.claim(worker="w")
    ingestions.add_chunks(claim=claim, chunks=(made := a_batch(claim, range(3)))[0], vectors=made[1], percent=1)
    cancelled = sources.cancel(caller=alice, source_id=source.pk)
    assert cancelled.status == "cancelled"
    assert Chunk.objects.count() == 0
    with pytest.raises(LeaseLost):
        ingestions.add_chunks(claim=claim, chunks=(made := a_batch(claim, range(3, 6)))[0], vectors=made[1], percent=1)
    assert dict(feed())["source.ingest.failed"]["payload"]["cancelled"] is True
    with pytest.raises(Conflict):
        sources.cancel(caller=alice, source_id=source.pk)


def test_what_is_cancelled_while_it_waits_is_never_claimed(alice):
    source = add_text(alice, LONG)
    sources.cancel(caller=alice, source_id=source.pk)
    assert ingestions.claim(worker="w") is None


def test_deleting_during_an_ingestion_leaves_nothing(alice):
    source = add_text(alice, LONG)
    claim = ingestions.claim(worker="w")
    ingestions.add_chunks(claim=claim, chunks=(made := a_batch(claim, range(3)))[0], vectors=made[1], percent=1)
    sources.delete(caller=alice, source_id=source.pk)
    with pytest.raises(LeaseLost):
        ingestions.finish(claim=claim, kind="md", chars=1)
    assert not any(model.objects.exists() for model in (Source, Document, Chunk, Ingestion, StoredFile))
    assert vectors() == 0


def test_a_reader_that_takes_too_much_memory_fails_cleanly(alice, settings):
    settings.KNOWLEDGE_PARSER_MEMORY_MB = 40
    source = taken_in(add_file(alice, "two.pdf", pdf_of("The first page.")))
    assert source.status == "failed"
    assert source.error


def test_the_reader_sees_none_of_our_secrets(alice, monkeypatch):
    given = {}
    real = asyncio.create_subprocess_exec

    async def spy(*args, **options):
        given.update(options)
        return await real(*args, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    ready(add_text(alice, "text"))
    assert not {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY"} & given["env"].keys()


async def test_an_ingestion_cancelled_while_its_reader_waits_for_room_ends_at_once(alice):
    """The reader's pipe is full and nobody reads it: waiting for its end would take for ever."""
    source = await in_thread(add_text, alice, LONG * 100)
    claim = await in_thread(ingestions.claim, worker="w")
    busy = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(busy.wait)  # nothing is embedded meanwhile
        task = asyncio.create_task(ingesting.ingest(claim, pool))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        busy.set()
    assert task.cancelled()
    await in_thread(sources.delete, caller=alice, source_id=source.pk)


def test_nothing_queued_is_nothing_to_do(alice):
    work_off()
    assert ingestions.claim(worker="w") is None
