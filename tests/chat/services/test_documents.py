"""Documents in the database: all or nothing, to the version they were proposed for, and back again byte for byte."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from chat.editing import changes
from chat.models import Conversation, DocumentVersion, EditedDocument
from chat.services import documents
from events.exceptions import Conflict, InvalidRequest, NotFound, TooLarge
from tests.chat.editing.documents import DOCUMENTS

HTML = (
    "\ufeff<!doctype html>\r\n<h1>Caf\u00e9 \U0001f600</h1>\r\n<p>one</p>\t<p>two &amp; <b>three</p>\r\n"
    "<script>x < '<p>'</script>\r"
)


def batch_of(version, *made):
    """Changes of a version's chunks: (position, new html or None for delete, or a new block after it)."""
    document = documents.load(version)
    found = []
    for position, html in made:
        chunk = document.chunks[position]
        found.append(changes.edit(document, chunk, html, "why") if html else changes.delete(document, chunk, "why"))
    return changes.batch(found)


@pytest.fixture
def version(alice):
    return documents.store(caller=alice, html=HTML, title="T", turn=1)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_kept_character_for_character_and_id_for_id(alice, name):
    made = documents.store(caller=alice, html=DOCUMENTS[name])
    kept = documents.current(caller=alice, document_id=made.document_id)
    assert kept.html == DOCUMENTS[name]
    assert documents.load(kept) == documents.load(made)


def test_approved_changes_are_applied_together(alice, version):
    result = documents.apply(caller=alice, version_id=version.pk, changes=batch_of(version, (1, "<p>1</p>"), (2, None)), turn=2)
    assert result.updated_html == HTML.replace("<p>one</p>", "<p>1</p>").replace("<p>two &amp; <b>three</p>", "")
    assert result.changes_summary == "1 section changed, 1 section deleted."
    now = documents.current(caller=alice, document_id=version.document_id)
    assert (now.pk, now.number, now.turn, now.author_id) == (result.version_id, 2, 2, alice.pk)
    assert [chunk.id for chunk in documents.load(now).chunks] == [chunk.id for chunk in documents.load(version).chunks[:2]]


def test_a_batch_with_one_bad_change_changes_nothing(alice, version):
    good, bad = batch_of(version, (1, "<p>1</p>"), (2, "<p>2</p>"))
    for broken, error in [({"new_html": "<script>x</script>"}, InvalidRequest), ({"old_html": "<p>other</p>"}, Conflict)]:
        changed = changes.Change.load(bad.data | broken)
        with pytest.raises(error):
            documents.apply(caller=alice, version_id=version.pk, changes=[good, changed])
    assert DocumentVersion.objects.count() == 1
    assert documents.current(caller=alice, document_id=version.document_id).html == HTML


def test_scripts_that_an_approver_puts_into_a_change_do_not_reach_the_document(alice, version):
    (change,) = batch_of(version, (1, "<p>1</p>"))
    edited = changes.Change.load(change.data | {"new_html": "<p onclick=x()>1<script>alert(1)</script></p>"})
    assert "<p>1</p>" in documents.apply(caller=alice, version_id=version.pk, changes=[edited]).updated_html


def test_changes_for_a_version_that_is_no_longer_in_force_are_refused_with_both_numbers(alice, version):
    first, second = batch_of(version, (1, "<p>1</p>")), batch_of(version, (2, "<p>2</p>"))
    documents.apply(caller=alice, version_id=version.pk, changes=first)
    with pytest.raises(Conflict, match="for version 1, it is at 2"):
        documents.apply(caller=alice, version_id=version.pk, changes=second)


def test_the_same_batch_again_is_the_same_version(alice, version):
    batch = batch_of(version, (1, "<p>1</p>"))
    once = documents.apply(caller=alice, version_id=version.pk, changes=batch)
    documents.receive(caller=alice, document_id=version.document_id, html="<p>moved on</p>")
    assert documents.apply(caller=alice, version_id=version.pk, changes=batch) == once
    assert DocumentVersion.objects.count() == 3


def test_of_many_at_once_one_batch_is_applied_and_the_same_one_once(alice, version):
    same = batch_of(version, (1, "<p>same</p>"))
    others = [batch_of(version, (2, f"<p>{number}</p>")) for number in range(4)]

    def attempt(batch):
        try:
            return documents.apply(caller=alice, version_id=version.pk, changes=batch).version_id
        except Conflict:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, [same, same, *others, same, same]))
    won = {each for each in results if each}
    assert len(won) == 1
    assert DocumentVersion.objects.count() == 2
    same_results = {results[at] for at in (0, 1, 6, 7)}
    assert len(same_results) == 1


def test_a_revert_restores_every_byte_and_every_id_and_can_be_reverted(alice, version):
    changed = documents.apply(caller=alice, version_id=version.pk, changes=batch_of(version, (1, None), (2, "<p>2</p>")), turn=2)
    back = documents.revert(caller=alice, document_id=version.document_id, version_id=version.pk, turn=3)
    assert (back.number, back.restored, back.html) == (3, 1, HTML)
    assert documents.load(back) == documents.load(version)
    again = documents.revert(caller=alice, document_id=version.document_id, turn_index=2)
    assert (again.number, again.html) == (4, changed.updated_html)
    assert documents.revert(caller=alice, document_id=version.document_id, turn_index=1).html == HTML


def test_a_revert_to_the_version_in_force_makes_no_other_and_one_to_nothing_is_refused(alice, version):
    assert documents.revert(caller=alice, document_id=version.document_id, version_id=version.pk) == version
    for where in ({"version_id": uuid4()}, {"turn_index": 0}):
        with pytest.raises(NotFound):
            documents.revert(caller=alice, document_id=version.document_id, **where)
    with pytest.raises(InvalidRequest):
        documents.revert(caller=alice, document_id=version.document_id)


def test_a_document_that_comes_back_the_same_is_no_new_version_and_a_changed_one_keeps_its_ids(alice, version):
    assert documents.receive(caller=alice, document_id=version.document_id, html=HTML) == version
    html = HTML.replace("<p>one</p>", "<p>brand new and longer</p>\r\n<p>one!</p>")
    after = documents.receive(caller=alice, document_id=version.document_id, html=html, turn=2)
    assert after.html == html
    before_ids = [chunk.id for chunk in documents.load(version).chunks]
    ids = [chunk.id for chunk in documents.load(after).chunks]
    assert (ids[0], ids[2], ids[3]) == (before_ids[0], before_ids[1], before_ids[2])


@pytest.mark.parametrize(
    ("html", "error", "says"),
    [
        ("<p>\0</p>", InvalidRequest, r"NUL character \(at 3\)"),
        ("<p>\ud83d</p>", InvalidRequest, r"half of a character \(at 3\)"),
        ("\u20ac" * 700_000, TooLarge, "2100000 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_says_where(alice, version, html, error, says):
    with pytest.raises(error, match=says):
        documents.store(caller=alice, html=html)
    with pytest.raises(error, match=says):
        documents.receive(caller=alice, document_id=version.document_id, html=html)


def test_a_document_that_would_become_too_large_stays_as_it_is(alice, version, settings):
    settings.EDITING_DOCUMENT_MAX_BYTES = len(HTML.encode()) + 10
    with pytest.raises(TooLarge):
        documents.apply(caller=alice, version_id=version.pk, changes=batch_of(version, (1, f"<p>{'x' * 50}</p>")))


def test_only_so_many_versions_are_kept(alice, version, settings):
    settings.EDITING_VERSIONS_KEPT = 3
    for number in range(5):
        documents.receive(caller=alice, document_id=version.document_id, html=f"<p>{number}</p>")
    rows, older = documents.versions(caller=alice, document_id=version.document_id)
    assert [row["number"] for row in rows] == [6, 5, 4]
    assert older is None
    with pytest.raises(NotFound, match="no longer kept"):
        documents.version(caller=alice, version_id=version.pk)


def test_a_document_is_for_its_owner_and_the_people_of_its_conversation(alice, bob):
    talk = Conversation.objects.create()
    talk.participants.create(user_id=alice.pk)
    made = documents.store(caller=alice, html=HTML, conversation_id=talk.pk)
    with pytest.raises(NotFound):
        documents.store(caller=bob, html=HTML, conversation_id=talk.pk)
    for refused in (
        lambda: documents.document(caller=bob, document_id=made.document_id),
        lambda: documents.version(caller=bob, version_id=made.pk),
        lambda: documents.versions(caller=bob, document_id=made.document_id),
        lambda: documents.apply(caller=bob, version_id=made.pk, changes=batch_of(made, (1, None))),
        lambda: documents.revert(caller=bob, document_id=made.document_id, version_id=made.pk),
        lambda: documents.receive(caller=bob, document_id=made.document_id, html=""),
        lambda: documents.delete(caller=bob, document_id=made.document_id),
    ):
        with pytest.raises(NotFound):
            refused()
    talk.participants.create(user_id=bob.pk)
    assert documents.of_conversation(caller=bob, conversation_id=talk.pk) == made.document
    assert documents.apply(caller=bob, version_id=made.pk, changes=batch_of(made, (1, None))).version_id
    documents.delete(caller=alice, document_id=made.document_id)
    assert not EditedDocument.objects.exists()


def test_changes_of_two_batches_or_none_are_refused(alice, version):
    one, other = batch_of(version, (1, None)), batch_of(version, (2, None))
    for mixed in ([], [*one, *other]):
        with pytest.raises(InvalidRequest, match="same batch"):
            documents.apply(caller=alice, version_id=version.pk, changes=mixed)


def test_documents_are_listed_newest_first(alice, version):
    other = documents.store(caller=alice, html="")
    found, following = documents.list_documents(caller=alice, cursor="")
    assert [row.pk for row in found] == [other.document_id, version.document_id]
    assert following is None
