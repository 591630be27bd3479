"""Who may see and change what."""

import pytest

from events import paging
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound, TooLarge
from knowledge.models import Source, StoredFile, StoredPart
from knowledge.services import documents, files, retrieval, sources
from knowledge.services.sources import NewSource
from tests.knowledge.conftest import add_file, add_text, ready

TEXT = "Lighthouses warn ships at night."


def search(caller, **fields):
    wanted = retrieval.SourceQuery(similarity_threshold=-1, **fields)
    return retrieval.retrieve(caller=caller, query="lighthouses", sources=[wanted])


def test_a_private_source_does_not_exist_for_others(alice, bob):
    source = ready(add_text(alice, TEXT))
    for act in (sources.get, sources.delete, sources.reingest, sources.cancel):
        with pytest.raises(NotFound):
            act(caller=bob, source_id=source.pk)
    assert sources.list_sources(caller=bob, cursor="")[0] == []
    assert search(bob, name="notes").missing == ["notes"]
    assert search(bob, source_ids=(source.pk,)).passages == []
    assert search(bob).passages == []
    with pytest.raises(NotFound):
        documents.read(caller=bob, storage_key=source.storage_key)
    assert len(search(alice).passages) == 1


def test_a_shared_source_is_searched_by_members_and_changed_by_its_owner_only(alice, bob, mallory):
    source = ready(add_text(alice, TEXT, organization="org_tests"))
    assert sources.get(caller=bob, source_id=source.pk) == source
    assert len(search(bob, name="notes").passages) == 1
    for act in (sources.delete, sources.reingest, sources.cancel):
        with pytest.raises(Forbidden):
            act(caller=bob, source_id=source.pk)
        with pytest.raises(NotFound):
            act(caller=mallory, source_id=source.pk)
    assert search(mallory).passages == []


def test_only_members_share_with_an_organisation(mallory):
    with pytest.raises(Forbidden):
        add_text(mallory, TEXT, organization="org_tests")
    assert not Source.objects.exists()


def test_an_attachment_is_no_source(alice):
    source = ready(add_text(alice, TEXT, purpose=Source.Purpose.ATTACHMENT))
    with pytest.raises(NotFound):
        sources.get(caller=alice, source_id=source.pk)
    assert search(alice).passages == []
    assert len(search(alice, storage_keys=(source.storage_key,)).passages) == 1


def test_pages_hold_everything_once_newest_first(alice, monkeypatch):
    monkeypatch.setattr(paging, "PAGE", 3)
    made = [add_text(alice, TEXT, name=f"source {number}").pk for number in range(8)]
    seen, cursor = [], ""
    while cursor is not None:
        page, cursor = sources.list_sources(caller=alice, cursor=cursor)
        seen += [source.pk for source in page]
    assert seen == made[::-1]


@pytest.mark.parametrize("cursor", ["x", "~", "2024-01-01~", "2024-01-01T00:00:00~5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f"])
def test_a_cursor_that_is_none_is_refused(alice, cursor):
    with pytest.raises(InvalidRequest):
        sources.list_sources(caller=alice, cursor=cursor)


def test_a_file_is_kept_byte_for_byte_in_parts(alice, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "PART_BYTES", 1000)
    data = bytes(range(256)) * 20
    stored = files.store(name="x", data=[data[:7], data[7:3333], data[3333:]])
    assert StoredPart.objects.filter(file=stored).count() == 6
    path = tmp_path / "copy"
    path.touch()
    files.write_out(file_id=stored.pk, path=path)
    assert path.read_bytes() == data


def test_a_file_past_the_limit_leaves_nothing(alice, settings):
    settings.KNOWLEDGE_MAX_BYTES = 1000
    with pytest.raises(TooLarge, match="1000 bytes"):
        add_file(alice, "a.txt", b"x" * 1001)
    assert not StoredFile.objects.exists()
    assert not Source.objects.exists()
    add_file(alice, "a.txt", b"x" * 1000)


@pytest.mark.parametrize(("name", "data"), [("a.exe", b"MZ\x90"), ("a.txt", b"PK\x03\x04"), ("a.txt", b""), ("a.pdf", b"no pdf")])
def test_what_cannot_be_taken_is_refused_at_once(alice, name, data):
    with pytest.raises(InvalidRequest):
        add_file(alice, name, data)
    assert not Source.objects.exists()


def test_there_is_a_most_of_sources(alice, settings):
    settings.KNOWLEDGE_SOURCES_PER_USER = 2
    add_text(alice, TEXT)
    add_text(alice, TEXT)
    with pytest.raises(Conflict, match="Delete some"):
        add_text(alice, TEXT)


def test_an_unknown_embedding_model_is_refused_with_the_known_ones(alice):
    with pytest.raises(InvalidRequest, match="openai-small"):
        sources.create(caller=alice, new=NewSource("a", "a.txt", embedding_model="nonsense"), data=[b"x"])
