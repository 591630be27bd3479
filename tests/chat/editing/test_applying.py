"""Applying: what is touched changes, nothing else does, and a change that cannot be made changes nothing."""

from html.parser import HTMLParser
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.editing import changes
from chat.editing.applying import applied
from chat.editing.changes import BadChange, Change, Outdated
from chat.editing.document import Document
from tests.chat.editing.documents import DOCUMENTS, large
from tests.chat.editing.test_chunks import html_soup


def replacement(chunk, text="New text."):
    if chunk.tag in ("li", "dt", "dd"):
        return f"<{chunk.tag}>{text}</{chunk.tag}>"
    if chunk.tag == "tr":
        return f"<tr><td>{text}</td></tr>"
    return f"<p>{text}</p>" if chunk.tag else text


def htmls(document):
    return [(chunk.id, document.html_of(chunk)) for chunk in document.chunks]


def around(document):
    """What is between the chunks."""
    at, found = 0, []
    for chunk in document.chunks:
        found.append(document.html[at : chunk.start])
        at = chunk.end
    return [*found, document.html[at:]]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_edited_chunk_changes_and_every_other_character_stays(name):
    document = Document.cut(DOCUMENTS[name])
    for chunk in [*document.chunks[:8], *document.chunks[-3:]]:
        after = applied(document, [changes.edit(document, chunk, replacement(chunk), "why")])
        assert after.html == document.html[: chunk.start] + replacement(chunk) + document.html[chunk.end :]
        assert [id_ for id_, _ in htmls(after)] == [id_ for id_, _ in htmls(document)]
        assert around(after) == around(document)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_deleted_chunk_goes_and_every_other_character_stays(name):
    document = Document.cut(DOCUMENTS[name])
    for chunk in document.chunks[:8]:
        after = applied(document, [changes.delete(document, chunk, "why")])
        assert after.html == document.html[: chunk.start] + document.html[chunk.end :]
        assert htmls(after) == [each for each in htmls(document) if each[0] != chunk.id]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_created_block_is_all_that_is_added_and_is_a_block_to_a_parser(name):
    document = Document.cut(DOCUMENTS[name])
    for after in [None, *document.chunks[:8], *document.chunks[-3:]]:
        made = applied(document, [changes.create(document, after, "<p>Brand new</p>", "why")])
        before, _, behind = made.html.partition("<p>Brand new</p>")
        rest, extra = before + behind, len(before + behind) - len(document.html)
        # At most a line break and indentation came with it, on one of its sides.
        assert any(
            rest[:at] + rest[at + extra :] == document.html and not rest[at : at + extra].strip()
            for at in (len(before) - extra, len(before))
        )
        untouched = dict(htmls(document))
        assert {id_: html for id_, html in htmls(made) if id_ in untouched} == untouched


def test_a_document_of_2_mb_is_edited_in_many_places_at_once():
    document = Document.cut(large())
    chosen = document.chunks[::200]
    after = applied(document, [changes.edit(document, chunk, replacement(chunk), "why") for chunk in chosen])
    touched = {chunk.id for chunk in chosen}
    assert len(chosen) > 100
    assert around(after) == around(document)
    assert [each for each in htmls(after) if each[0] not in touched] == [
        each for each in htmls(document) if each[0] not in touched
    ]


def test_a_chunk_that_becomes_several_keeps_its_id_for_the_first():
    document = Document.cut("<p>one</p><p>two</p>")
    first, second = document.chunks
    after = applied(document, [changes.edit(document, first, "<h2>A</h2><p>b</p><ul><li>c</li></ul>", "")])
    assert [html for _, html in htmls(after)] == ["<h2>A</h2>", "<p>b</p>", "<li>c</li>", "<p>two</p>"]
    assert [after.chunks[0].id, after.chunks[3].id] == [first.id, second.id]


def test_items_and_rows_are_inserted_among_their_own_and_blocks_after_the_whole():
    html = "<ul>\n  <li>a</li>\n  <li>b</li>\n</ul>\n<table><tr><td>1</td></tr></table>"
    document = Document.cut(html)
    item, _, row = document.chunks
    for after, new, expected in [
        (item, "<li>x</li>", html.replace("<li>a</li>", "<li>a</li>\n  <li>x</li>")),
        (item, "<p>x</p>", html.replace("</ul>", "</ul>\n<p>x</p>")),
        (row, "<tr><td>2</td></tr>", html.replace("</tr>", "</tr><tr><td>2</td></tr>")),
        (row, "<p>x</p>", html + "\n<p>x</p>"),
        (None, "<h1>x</h1>", "<h1>x</h1>\n" + html),
    ]:
        assert applied(document, [changes.create(document, after, new, "")]).html == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", "<p>x</p>"),
        ("<html><body></body></html>", "<html><body><p>x</p></body></html>"),
        ("<body><div id=app></div></body>", "<body><div id=app><p>x</p></div></body>"),
        ("<body>\n", "<body>\n<p>x</p>"),
        ("<!-- c -->", "<!-- c --><p>x</p>"),
        ("<!-- never closed >", "<p>x</p><!-- never closed >"),
        ("<script>never closed", "<p>x</p><script>never closed"),
        ("<div><textarea>", "<div><p>x</p><textarea>"),
        ("<script></script>", "<script></script><p>x</p>"),
    ],
)
def test_the_first_block_of_an_empty_document_goes_inside_what_holds_it(html, expected):
    document = Document.cut(html)
    assert applied(document, [changes.create(document, None, "<p>x</p>", "")]).html == expected


def test_insertions_at_one_place_stand_in_their_order_and_go_with_a_deletion_there():
    document = Document.cut("<p>one</p><p>two</p>")
    first = document.chunks[0]
    batch = [
        changes.create(document, first, "<p>x</p>", ""),
        changes.create(document, first, "<p>y</p>", ""),
        changes.delete(document, first, ""),
    ]
    assert applied(document, batch).html == "<p>x</p><p>y</p><p>two</p>"


@pytest.mark.parametrize(
    ("html", "new", "says"),
    [
        ("<ul><li>a</li></ul>", "<p>x</p>", "only <li> can stand"),
        ("<ul><li>a</li></ul>", "x", "only <li> can stand"),
        ("<table><tr><td>a</table>", "<p>x</p>", "by rows"),
        ("<table><tr><td>a</table>", "</table><p>x</p><table><tbody><tr><td>b", "by rows"),
        ("<table><tr><td>a</table>", "<tr><td>b</td></tr></tbody><thead><tr><th>c</th></tr></thead><tbody>", "by rows"),
        ("<p>a</p>", "x", "whole blocks"),
        ("<p>a</p>", "<b>x</b>", "whole blocks"),
        ("<p>a</p>", "<p>x</p> and more", "whole blocks"),
        ("<p>a</p>", "<li>x</li>", "cannot stand there"),
        ("<p>a</p>", "<script>alert(1)</script>", "Nothing is left"),
        ("<p>a</p>", "  ", "Nothing is left"),
        ("<p>a <input></p>", "<p>x</p>", "no <p>"),
        ("<p>a</p>", "<div>" * 500 + "x", "nested deeper"),
        ("<p>a</p>", "<p>\ud83d</p>", "cannot be stored"),
        ("<p>a</p>", f"<p>{'x' * 300_000}</p>", "Propose less"),
    ],
)
def test_html_that_does_not_fit_is_refused_and_says_why(html, new, says):
    document = Document.cut(html)
    with pytest.raises(BadChange, match=says):
        changes.edit(document, document.chunks[0], new, "")


def test_changes_of_another_version_or_an_unknown_chunk_are_outdated():
    document = Document.cut("<p>one</p><p>two</p>")
    change = changes.edit(document, document.chunks[0], "<p>x</p>", "")
    moved_on = applied(document, [change])
    with pytest.raises(Outdated):
        applied(moved_on, [change])
    for broken in (
        Change("ch_1", "delete", chunk_id=str(uuid4()), old_html="<p>one</p>"),
        Change("ch_1", "edit", chunk_id="'; DROP TABLE", old_html="<p>one</p>", new_html="<p>x</p>"),
        Change("ch_1", "create", new_html="<p>x</p>", insert_after_chunk_id=str(uuid4())),
    ):
        with pytest.raises(Outdated):
            applied(document, [broken])


def test_two_changes_of_one_chunk_are_refused():
    document = Document.cut("<p>one</p>")
    chunk = document.chunks[0]
    with pytest.raises(BadChange, match="same section"):
        applied(document, [changes.edit(document, chunk, "<p>x</p>", ""), changes.delete(document, chunk, "")])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"change_id": 5},
        {"change_id": "a", "operation": "explode"},
        {"change_id": "a", "operation": "edit", "new_html": ["<p>"]},
        {"change_id": "a", "operation": "delete", "chunk_id": 7},
    ],
)
def test_data_that_is_no_change_is_refused(data):
    with pytest.raises(BadChange):
        Change.load(data)


def test_a_change_survives_its_json():
    document = Document.cut("<p>one</p>")
    (change,) = changes.batch([changes.edit(document, document.chunks[0], "<p>x</p>", "why")])
    assert Change.load(change.data) == change
    assert (change.batch_id, change.batch_total) == (change.change_id, 1)


HOSTILE = [
    "<p>x<script>alert(1)</script></p>",
    "<p onclick=alert(1)>x</p>",
    "<p>x<img src=x onerror=alert(1)></p>",
    '<p><a href="javascript:alert(1)">x</a></p>',
    '<p><a href=" java\nscript:alert(1)">x</a></p>',
    '<p><a href="data:text/html,<script>alert(1)</script>">x</a></p>',
    '<p><img src="data:image/svg+xml,<svg onload=alert(1)>">x</p>',
    "<p>x</p><svg><script>alert(1)</script></svg>",
    "<p>x</p><svg onload=alert(1)>",
    '<p>x</p><math><mtext></p><p><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    '<p>x</p><noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "<p>x</p><textarea></textarea><img src=x onerror=alert(1)>",
    "<p>x</p><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<p>x</p><form><button formaction=javascript:alert(1)>y</button></form>",
    '<p style="background:url(javascript:alert(1))">x</p>',
    "<p>x<!--><img src=x onerror=alert(1)>--></p>",
    "<p>x</p><object data=x></object><embed src=x><base href=//evil><meta http-equiv=refresh content='0;url=//evil'>",
    "<p>x<xmp><img src=x onerror=alert(1)></xmp></p>",
    "<p/onclick=alert(1)>x</p>",
    "<p><a href=/ onclick=alert(1)>x</a><table onload=alert(1)><tr onclick=alert(1)><td onclick=alert(1)>x</table>",
    "<P\x0cONCLICK=alert(1)>x</P>",
    "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>",
    "<p>x</p><scr<script>ipt>alert(1)</scr</script>ipt>",
    "<p title='<script>alert(1)</script>'>x</p>",
]


class Active(HTMLParser):
    """What of some HTML could run."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag in (
            "script",
            "iframe",
            "object",
            "embed",
            "svg",
            "math",
            "form",
            "base",
            "meta",
            "link",
            "style",
            "noscript",
            "xmp",
        ):
            self.found.append(tag)
        for name, value in attrs:
            address = "".join((value or "").split()).lower()
            if name.startswith("on") or address.startswith(("javascript:", "data:text", "data:image/svg")) or "url(" in address:
                self.found.append((name, value))


def active(html):
    reader = Active()
    reader.feed(html)
    reader.close()
    return reader.found


@pytest.mark.parametrize("html", HOSTILE)
def test_nothing_that_runs_survives_in_proposed_html(html):
    for given_html, host in [
        (html, "<div><p>old</p></div>"),
        (f"<li>{html}</li>", "<ul><li>old</li></ul>"),
        (f"<tr><td>{html}</td></tr>", "<table><tr><td>old</table>"),
        (html.replace("<p>", "<b>").replace("</p>", "</b>"), "<p>old <input></p>"),
    ]:
        document = Document.cut(host)
        try:
            change = changes.edit(document, document.chunks[0], given_html, "")
        except BadChange:
            continue
        assert active(change.new_html) == []
        assert active(applied(document, [change]).html) == active(host)


@settings(max_examples=400, deadline=None)
@given(
    html_soup,
    st.sampled_from(["<p>old</p>", "<ul><li>old</ul>", "<table><tr><td>old</table>", "<p>old<input></p>", "<div>old<hr></div>"]),
)
def test_whatever_is_proposed_stays_where_it_was_put_and_harmless(proposed, host):
    document = Document.cut(host + "<p>neighbour</p>")
    try:
        change = changes.edit(document, document.chunks[0], proposed, "")
        after = applied(document, [change])
    except BadChange:
        return
    assert active(change.new_html) == []
    assert htmls(after)[-1] == htmls(document)[-1]
    # The neighbour is still a chunk of its own when everything is read again: nothing was left open.
    assert htmls(Document.cut(after.html))[-1][1] == "<p>neighbour</p>"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(set(DOCUMENTS) - {"long_paragraph", "deep", "attributes"})) | html_soup, st.data())
def test_random_changes_and_reverts_do_as_a_list_of_pieces_does(name_or_html, data):
    """The reference: a list of [id or None, html]; every change replaces, removes or adds one entry."""
    document = Document.cut(DOCUMENTS.get(name_or_html, name_or_html))
    versions = [(document, pieces(document))]
    for _ in range(data.draw(st.integers(1, 6))):
        document, model = versions[-1]
        batch, expected = draw_batch(data, document, model)
        try:
            after = applied(document, batch)
        except BadChange:
            continue
        assert after.html == "".join(html for _, html in expected)
        assert [id_ for id_, _ in pieces(after) if id_] == [id_ for id_, _ in expected if id_]
        loaded = Document.load(after.html, after.rows)
        assert loaded == after
        versions.append((loaded, pieces(after)))
        if data.draw(st.booleans()):
            # A revert is an older version again, character for character and id for id.
            versions.append(data.draw(st.sampled_from(versions)))


def pieces(document):
    at, found = 0, []
    for chunk in document.chunks:
        found += [(None, document.html[at : chunk.start]), (chunk.id, document.html_of(chunk))]
        at = chunk.end
    return [*found, (None, document.html[at:])]


def draw_batch(data, document, model):
    """Edits and deletions of some chunks, and what the pieces are after them."""
    chosen = data.draw(st.sets(st.sampled_from(document.chunks), max_size=4)) if document.chunks else set()
    batch, expected = [], dict(model)
    new = {}
    for chunk in sorted(chosen):
        text = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="<>&\0\r"), min_size=1, max_size=8)) + "x"
        if data.draw(st.booleans()):
            html = replacement(chunk, text)
            try:
                change = changes.edit(document, chunk, html, "why")
            except BadChange:
                continue
            batch.append(change)
            new[chunk.id] = change.new_html
        else:
            batch.append(changes.delete(document, chunk, "why"))
            new[chunk.id] = ""
    del expected
    return batch, [(id_, new.get(id_, html)) for id_, html in model if new.get(id_, html) or id_ is None]
