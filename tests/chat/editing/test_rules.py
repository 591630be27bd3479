"""The proposer without a language model: does what it says, and says what it cannot do."""

import time

import pytest

from chat.editing.applying import applied
from chat.editing.changes import edit
from chat.editing.document import Document
from chat.editing.proposing import Denied, EditRequest, Progress, Proposals
from chat.editing.rules.instructions import Add, DeleteContaining, DeleteSection, Replace, Shorten, Tidy, read
from chat.editing.rules.proposer import ABLE, NOTICE, RulesProposer, proposals
from tests.chat.editing.documents import DOCUMENTS, large


def asked(html, message, denied=()):
    document = html if isinstance(html, Document) else Document.cut(html)
    found = proposals(EditRequest(message, document, tuple(denied)))
    return document, found, applied(document, found.changes).html if found.changes else document.html


@pytest.mark.parametrize(
    ("message", "instruction"),
    [
        ('Replace "Acme Ltd" with "Globex"', Replace("Acme Ltd", "Globex")),
        ("please replace all occurrences of Acme with Globex.", Replace("Acme", "Globex")),
        ("Replace the word foo by bar everywhere", Replace("foo", "bar")),
        ('replace "very " with ""', Replace("very", "")),
        ("rename \u201cX\u201d to \u201cY\u201d", Replace("X", "Y")),
        ('change "a" to "b" in the section "Fees"', Replace("a", "b", "Fees")),
        ('Delete the section "2. Payment"', DeleteSection("2. Payment")),
        ("Could you remove the Payment section?", None),
        ("remove the Payment section", DeleteSection("Payment")),
        ('delete paragraphs containing "x y"', DeleteContaining("x y")),
        ('Add a section titled "Privacy" with the text "We keep nothing."', Add("Privacy", "We keep nothing.")),
        ("add a new section titled Privacy: One.\n\nTwo.", Add("Privacy", "One.\n\nTwo.")),
        ('add a section titled "Privacy" after the section "Fees" with "text"', Add("Privacy", "text", "after", "Fees")),
        ('add a section "Privacy"', Add("Privacy", "")),
        ('add a paragraph "Hi" at the beginning', Add("", "Hi", "start")),
        ("Rewrite all sections to be more concise", Shorten()),
        ('Shorten the section "Fees"', Shorten("Fees")),
        ("shorten the Payment section", Shorten("Payment")),
        ("fix the spacing", Tidy()),
        ("remove double spaces", Tidy()),
        ("shorten the introduction but keep the fees", None),
        ('replace "A" with "B" and delete the section "C"', None),
        ("Add a section titled 'GDPR' with details about GDPR", None),
        ("translate this to French", None),
        ("make it more formal", None),
        ("", None),
        ("\x02" + "9\x03", None),
    ],
)
def test_what_a_message_is_understood_as(message, instruction):
    assert read(message) == instruction


@pytest.mark.parametrize(
    "message",
    [
        *("replace " + "a with " * 15_000, '"' * 100_000, "\u201e" * 100_000, "'a " * 30_000, "please " * 14_000),
        *("shorten the " + "section " * 12_000, "delete the section " + "x section " * 10_000),
        "add a section titled " + "with " * 20_000,
    ],
    ids=lambda message: message[:20],
)
def test_no_message_takes_long_to_read(message):
    began = time.process_time()
    read(message)
    assert time.process_time() - began < 5


def test_replacing_keeps_markup_and_capitals_and_leaves_attributes_and_scripts_alone():
    html = (
        "<p title='acme'>Acme, ACME and acme; <b>Ac</b>me, pacme. A\ncme &amp; co</p><script>acme</script>"
        "<ul><li>AT&amp;T&nbsp;acme</ul><input value=acme>"
    )
    _, found, after = asked(html, 'replace "Acme" with "G & S"')
    assert after == (
        "<p title='acme'>G &amp; S, G &amp; S and g &amp; s; <b>G &amp; S</b>, pacme. A\ncme &amp; co</p><script>acme</script>"
        "<ul><li>AT&amp;T&nbsp;g &amp; s</li></ul><input value=acme>"
    )
    assert found.response.startswith(NOTICE)
    assert "5 occurrences" in found.response
    assert [change.batch_total for change in found.changes] == [2, 2]


def test_what_is_replaced_is_text_never_markup():
    _, found, after = asked("<p>Say hello</p>", 'replace "hello" with "<script>alert(1)</script>"')
    assert after == "<p>Say &lt;script&gt;alert(1)&lt;/script&gt;</p>"
    assert len(found.changes) == 1


def test_white_space_in_the_source_does_not_matter_and_blocks_do():
    assert asked("<p>net\n  sixty days</p>", 'replace "net sixty" with "net 30"')[2] == "<p>net 30 days</p>"
    assert asked("<ul><li>net<ul><li>sixty</ul></ul>", 'replace "net sixty" with "x"')[1].changes == ()


def test_replacing_in_one_section_leaves_the_others():
    html = "<h2>A</h2><p>x</p><h2>B</h2><p>x</p>"
    assert asked(html, 'replace "x" with "y" in the section "B"')[2] == "<h2>A</h2><p>x</p><h2>B</h2><p>y</p>"


def test_a_section_is_deleted_with_all_that_belongs_to_it_and_nothing_else():
    _, found, after = asked(DOCUMENTS["contract"], 'delete the section "Payment"')
    assert "2. Payment" not in after
    assert "&euro;10" not in after
    assert "&copy; Acme" in after
    assert "Support is by e-mail" in after
    assert {change.operation for change in found.changes} == {"delete"}


def test_a_section_that_is_not_there_or_not_clear_is_asked_about():
    assert (
        "There are: Service agreement, 1. Services, 2. Payment."
        in asked(DOCUMENTS["contract"], 'delete the section "X"')[1].response
    )
    unclear = asked("<h2>Fees 1</h2><p>a<h2>Fees 2</h2><p>b", 'delete the section "Fees"')[1]
    assert unclear.changes == ()
    assert "2 sections match" in unclear.response


def test_a_section_is_added_where_it_was_asked_for_with_the_given_text_only():
    html = "<h1>T</h1>\n<h2>A</h2>\n<p>a</p>\n<h2>B</h2>\n<p>b</p>"
    assert asked(html, 'add a section titled "C & D" with the text "1 < 2"')[2] == html + "\n<h2>C &amp; D</h2>\n<p>1 &lt; 2</p>"
    middle = asked(html, 'add a section titled "C" after the section "A": First.\n\n- x')[2]
    assert middle == html.replace("<p>a</p>", "<p>a</p>\n<h2>C</h2>\n<p>First.</p>\n<ul>\n<li>x</li>\n</ul>")
    assert read('add a section titled "C" with "t" before the section "B"') == Add("C", "t", "before", "B")
    before = asked(html, 'add a section titled "C" with "t" before the section "B"')[2]
    assert before == html.replace("<p>a</p>", "<p>a</p>\n<h2>C</h2>\n<p>t</p>")
    listed = asked(html, 'add a section titled "C" with the following:\n- x\n- y')[2]
    assert listed.endswith("<h2>C</h2>\n<ul>\n<li>x</li>\n<li>y</li>\n</ul>")
    assert "rules cannot write one" in asked(html, 'add a section titled "C"')[1].response


def test_shortening_keeps_whole_sentences_their_order_and_their_markup():
    html = DOCUMENTS["blog"]
    _, found, after = asked(html, "Rewrite all sections to be more concise")
    (change,) = found.changes
    assert (
        change.old_html
        == "<p>A stream is a log. A log has a cursor. A cursor is all that a reader owns. That is the whole idea.</p>"
    )
    kept = change.new_html.removeprefix("<p>").removesuffix("</p>")
    assert len(kept.split(". ")) == 3
    assert all(sentence.strip(".") in change.old_html for sentence in kept.split(". "))
    assert after == html.replace(change.old_html, change.new_html)
    assert "no sentence was written anew" in found.response


def test_shortening_takes_formatting_with_the_text_and_leaves_headings_code_and_tables():
    long = "<p>Cats eat fish. <b>Dogs bark.</b> Cats eat fish and mice.</p>"
    html = f"<h2>A. B. C. D.</h2><pre>A. B. C. D.</pre>{long}<table><tr><td>A. B. C. D.</table>"
    _, found, after = asked(html, "shorten the document")
    assert after == html.replace(long, "<p>Cats eat fish. Cats eat fish and mice.</p>")
    assert len(found.changes) == 1


@pytest.mark.parametrize("name", ["japanese", "arabic", "contract", "long_paragraph"])
def test_shortening_never_makes_longer_nor_invents(name):
    document, found, after = asked(DOCUMENTS[name], "shorten")
    assert len(after) <= len(document.html)
    for change in found.changes:
        rest = iter(change.old_html)
        assert all(character in rest for character in change.new_html)


def test_spaces_are_tidied_outside_code():
    assert asked("<p>a  b , c</p><pre>a  b</pre>", "remove double spaces")[2] == "<p>a b, c</p><pre>a  b</pre>"


@pytest.mark.parametrize("message", ["Translate this to French", "make it nicer", "Add a table of contents", "???"])
def test_what_rules_cannot_do_is_said_plainly_and_nothing_is_proposed(message):
    found = asked(DOCUMENTS["contract"], message)[1]
    assert found == Proposals((), ABLE)


def test_feedback_on_a_denied_change_proposes_another_for_that_place_alone():
    document = Document.cut("<p>Acme one.</p><p>Acme two.</p>")
    denied = edit(document, document.chunks[0], "<p>Globex one.</p>", "")
    _, found, after = asked(document, 'replace "Acme" with "Globex"', [Denied(denied, 'replace "Acme" with "Initech"')])
    assert after == "<p>Initech one.</p><p>Acme two.</p>"
    assert found.changes[0].change_id != denied.change_id
    _, cannot, _ = asked(document, "x", [Denied(denied, "make it funnier")])
    assert cannot.changes == ()
    assert "not something that rules can follow" in cannot.response


def test_feedback_shorter_leaves_out_more():
    html = "<p>" + " ".join(f"Sentence number {number} is about cats." for number in range(10)) + "</p>"
    document, first, once = asked(html, "shorten")
    twice = asked(document, "shorten", [Denied(first.changes[0], "still shorter")])[2]
    assert len(twice) < len(once) < len(html)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(
    "message", ["shorten", 'replace "a" with "bb"', 'replace "the" with ""', "fix the spacing", 'add a paragraph "x"']
)
def test_every_proposal_can_be_applied(name, message):
    document, found, after = asked(DOCUMENTS[name], message)
    assert (after != document.html) == bool(found.changes)


async def test_progress_is_told_and_a_large_document_does_not_hold_up_the_loop():
    parts = [
        part async for part in RulesProposer().propose(EditRequest('replace "goes" with "went"', Document.cut(large(300_000))))
    ]
    assert [type(part) for part in parts] == [Progress, Progress, Proposals]
    assert len(parts[-1].changes) > 100
