"""Applying changes to a document: one new document, or none. No I/O."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from chat.editing.changes import CREATE, DELETE, MOST_CHANGES, BadChange, Change, checked, is_item
from chat.editing.chunks import FLOW, Range, own_kind, split, takes
from chat.editing.document import Chunk, Document
from chat.editing.elements import INLINE, ITEMS, OPAQUE, VOID
from chat.editing.policy import ROWS
from chat.editing.tokens import SPACE
from chat.editing.tree import REST

_INDENT = re.compile(r"(?:\r\n|\n|\r)[ \t]*\Z")
_BREAK = re.compile(r"(?:\r\n|\n|\r)[ \t]*")


class _Splice(NamedTuple):
    """`html` takes the place of `[start, end)`; `lead` stands before it, `trail` after it, neither being part of a chunk."""

    start: int
    end: int
    html: str
    rows: bool = False
    chunk: Chunk | None = None
    lead: str = ""
    trail: str = ""


def applied(document: Document, changes: Iterable[Change], *, new_id: Callable[[], UUID] = uuid4) -> Document:
    """The document after all the changes. Raises `BadChange` (or `Outdated`), and then nothing is changed.

    Outside the changed chunks every character stays as it is, and so do the ids. A changed chunk keeps its id; when
    it has become several, the first does. Insertions at the same place stand in the order of `changes`.
    """
    splices = _splices(document, list(changes))
    pieces: list[str] = []
    chunks: list[Chunk] = []
    at = size = 0
    rest = iter(document.chunks)
    following = next(rest, None)
    for splice in splices:
        while following is not None and following.start < splice.start:
            if following.end > splice.start:
                raise BadChange("", "Something cannot be inserted in the middle of a section. Insert it after another one.")
            chunks.append(following._replace(start=following.start - at + size, end=following.end - at + size))
            following = next(rest, None)
        pieces.append(document.html[at : splice.start])
        size += splice.start - at
        chunks.extend(_new_chunks(splice, size + len(splice.lead), new_id))
        pieces += (splice.lead, splice.html, splice.trail)
        size += len(splice.lead) + len(splice.html) + len(splice.trail)
        at = splice.end
        if splice.chunk is not None:
            following = next(rest, None)
    pieces.append(document.html[at:])
    while following is not None:
        chunks.append(following._replace(start=following.start - at + size, end=following.end - at + size))
        following = next(rest, None)
    return Document("".join(pieces), tuple(chunks))


def _splices(document: Document, changes: Sequence[Change]) -> list[_Splice]:
    if len(changes) > MOST_CHANGES:
        raise BadChange("", f"At most {MOST_CHANGES} changes can be applied at once.")
    splices: list[_Splice] = []
    touched: set[UUID] = set()
    for each in changes:
        change = checked(document, each)
        if change.operation == CREATE:
            splices.append(_insertion(document, change))
            continue
        chunk = document.chunk(UUID(change.chunk_id))
        if chunk is None or chunk.id in touched:
            raise BadChange(change.change_id, "Two of the changes concern the same section. Approve only one of them.")
        touched.add(chunk.id)
        html = "" if change.operation == DELETE else change.new_html or ""
        splices.append(_Splice(chunk.start, chunk.end, html, chunk.tag == "tr", chunk))
    # Stable: insertions at one place keep their order, and stand before the chunk that begins there.
    return sorted(splices, key=lambda splice: (splice.start, splice.end))


def _insertion(document: Document, change: Change) -> _Splice:
    html = change.new_html or ""
    if change.insert_after_chunk_id is None:
        return _at_beginning(document, html)
    after = document.chunk(UUID(change.insert_after_chunk_id))
    assert after is not None  # noqa: S101 - `checked` has seen it
    if after.tag in ITEMS and is_item(html, ITEMS[after.tag]):
        return _Splice(after.end, after.end, html, after.tag == "tr", lead=_indent(document.html, after.start, after.end))
    start, end = _flow_place(document, after)
    place = _open_place(document, end)
    return _Splice(place, place, html, lead=_indent(document.html, start, end))


def _at_beginning(document: Document, html: str) -> _Splice:
    if not document.chunks:
        place = _open_place(document, _empty_place(document))
        return _Splice(place, place, html)
    first = document.chunks[0]
    start, end = _flow_place(document, first)
    return _Splice(start, start, html, trail=_indent(document.html, start, end))


def _flow_place(document: Document, chunk: Chunk) -> tuple[int, int]:
    """`[start, end)` of the outermost thing around a chunk beside which whole blocks can stand."""
    element, start, end = document.parent_of(chunk), chunk.start, chunk.end
    while element.parent and (takes(element) != FLOW or (not chunk.tag and element.tag in INLINE)):
        element, start, end = element.parent, element.start, element.end
    return start, end


def _empty_place(document: Document) -> int:
    """Where the first block of a document goes that has none: inside what could hold it, before what closes that."""
    element = document.root
    while True:
        inside = [each for each in element.children if own_kind(each.tag) == FLOW]
        if not inside:
            break
        element = inside[0]
    closing = [
        each.start for each in element.children if document.html[each.start : each.start + 6].lower() in ("</body", "</html")
    ]
    return closing[0] if closing else element.inner_end


def _open_place(document: Document, place: int) -> int:
    """`place`, unless it is the end of a text that ends inside a script, a comment or half a tag: then before that."""
    if place < len(document.html):
        return place
    element = document.root
    while element.children and element.children[-1].end == place:
        element = element.children[-1]
        if element.tag == REST or (element.tag in OPAQUE - VOID and element.inner_end == element.end):
            return element.start
    return place


def _indent(html: str, start: int, end: int) -> str:
    """The line break and indentation before `[start, end)`, if only they are on its line; else what breaks the line behind it."""
    match = _INDENT.search(html, max(0, start - 200), start) or _BREAK.match(html, end)
    return match[0] if match else ""


def _new_chunks(splice: _Splice, at: int, new_id: Callable[[], UUID]) -> list[Chunk]:
    """The chunks of what was put in, which now begins at `at`."""
    if not splice.html:
        return []
    prefix = ROWS[0] if splice.rows else ""
    ranges = [
        Range(start - len(prefix), min(end - len(prefix), len(splice.html)), tag)
        for start, end, tag in split(prefix + splice.html)
    ]
    if not ranges:
        # A rule, a picture in a frame: still the place that the id names.
        ranges = [Range(0, len(splice.html.rstrip(SPACE)), "")] if splice.chunk else []
    made = [Chunk(new_id(), at + start, at + end, tag) for start, end, tag in ranges]
    if splice.chunk is not None:
        made[0] = made[0]._replace(id=splice.chunk.id)
    return made
