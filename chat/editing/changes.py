"""Proposed changes of a document, and whether they can be made. No I/O."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from chat.editing.chunks import PHRASING, is_visible, takes
from chat.editing.document import Chunk, Document
from chat.editing.elements import INLINE, ITEMS, PARTS
from chat.editing.policy import Unsuitable, sanitised
from chat.editing.tokens import SPACE
from chat.editing.tree import COMMENT, Element, parse

EDIT, CREATE, DELETE = "edit", "create", "delete"
OPERATIONS = (EDIT, CREATE, DELETE)
DEEPEST = 200
"""How deep proposed HTML may be nested. Sanitising takes time by the square of it."""
LONGEST = 200_000
"""How many characters one change may propose."""
MOST_CHANGES = 2000
"""How many changes a batch may hold."""
_FIELDS = ("change_id", "operation", "chunk_id", "old_html", "new_html", "ai_explanation", "insert_after_chunk_id")


class BadChange(ValueError):
    """A change that cannot be made; the message says why and what to do instead."""

    def __init__(self, change_id: str, message: str) -> None:
        super().__init__(message)
        self.change_id = change_id
        self.message = message


class Outdated(BadChange):
    """The document is not as it was when the change was proposed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One proposed change, with the fields of a `proposed_change` frame (seed 003).

    `chunk_id` and `old_html` are None for create, `new_html` for delete; `insert_after_chunk_id` is for
    create, and None there means before everything else. All changes of a batch share `batch_id` and `batch_total`.
    """

    change_id: str
    operation: str
    chunk_id: str | None = None
    old_html: str | None = None
    new_html: str | None = None
    ai_explanation: str = ""
    batch_id: str | None = None
    batch_total: int | None = None
    insert_after_chunk_id: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The fields as JSON."""
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> "Change":
        """A change from `data`; raises `BadChange` when it is none."""
        change_id = data.get("change_id")
        if not isinstance(change_id, str) or not change_id:
            raise BadChange("", "A change must have a change_id.")
        for name in _FIELDS:
            if not isinstance(data.get(name), (str, type(None))):
                raise BadChange(change_id, f"{name} must be a string or null.")
        if data.get("operation") not in OPERATIONS:
            raise BadChange(change_id, "operation must be edit, create or delete.")
        total = data.get("batch_total")
        fields = {name: data.get(name) for name in _FIELDS} | {"ai_explanation": data.get("ai_explanation") or ""}
        return cls(**fields, batch_id=data.get("batch_id"), batch_total=total if isinstance(total, int) else None)


def new_change_id() -> str:
    """An id that no other change has."""
    return f"ch_{secrets.token_hex(8)}"


def batch(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes as one batch, named after its first."""
    return tuple(replace(each, batch_id=changes[0].change_id, batch_total=len(changes)) for each in changes)


def edit(document: Document, chunk: Chunk, new_html: str, why: str) -> Change:
    """A proposal to put `new_html` in the place of a chunk; raises `BadChange`."""
    return checked(document, Change(new_change_id(), EDIT, str(chunk.id), document.html_of(chunk), new_html, why))


def create(document: Document, after: Chunk | None, new_html: str, why: str) -> Change:
    """A proposal to insert `new_html` after a chunk, None: at the beginning; raises `BadChange`."""
    place = str(after.id) if after else None
    return checked(document, Change(new_change_id(), CREATE, new_html=new_html, ai_explanation=why, insert_after_chunk_id=place))


def delete(document: Document, chunk: Chunk, why: str) -> Change:
    """A proposal to take a chunk away."""
    return Change(new_change_id(), DELETE, str(chunk.id), document.html_of(chunk), ai_explanation=why)


def checked(document: Document, change: Change) -> Change:
    """The change as it may be made: its HTML sanitised, its place there. Raises `BadChange`, `Outdated`."""
    if change.operation == CREATE:
        after = _chunk(document, change, change.insert_after_chunk_id) if change.insert_after_chunk_id else None
        html = _suitable(change, lambda given: created_html(after, given))
        return replace(change, chunk_id=None, old_html=None, new_html=html)
    chunk = _chunk(document, change, change.chunk_id)
    if change.old_html != document.html_of(chunk):
        raise Outdated(change.change_id, "This section has changed since. Ask for the change again.")
    if change.operation == DELETE:
        return replace(change, new_html=None, insert_after_chunk_id=None)
    html = _suitable(change, lambda given: edited_html(document, chunk, given))
    return replace(change, new_html=html, insert_after_chunk_id=None)


def edited_html(document: Document, chunk: Chunk, html: str) -> str:
    """`html`, sanitised, as it may stand in the place of a chunk; raises `Unsuitable`."""
    kind = takes(document.parent_of(chunk))
    clean = _sanitised(html, rows=chunk.tag == "tr")
    tops = _tops(clean)
    if chunk.tag in ITEMS:
        _only(tops, clean, ITEMS[chunk.tag])
    elif kind == PHRASING:
        _only_phrasing(clean)
    elif chunk.tag:
        _only_blocks(tops, clean)
    else:
        _no_parts(tops)
    return clean


def created_html(after: Chunk | None, html: str) -> str:
    """`html`, sanitised, as it may be inserted after a chunk; raises `Unsuitable`."""
    if after is not None and after.tag in ITEMS and is_item(html, ITEMS[after.tag]):
        clean = _sanitised(html, rows=after.tag == "tr")
        _only(_tops(clean), clean, ITEMS[after.tag])
        return clean
    clean = _sanitised(html)
    _only_blocks(_tops(clean), clean)
    return clean


def is_item(html: str, tags: frozenset[str]) -> bool:
    """Whether the HTML begins with one of these items."""
    return re.match(rf"[{SPACE}]*<(?:{'|'.join(sorted(tags))})(?=[{SPACE}/>])", html, re.IGNORECASE | re.ASCII) is not None


def _chunk(document: Document, change: Change, chunk_id: str | None) -> Chunk:
    try:
        chunk = document.chunk(UUID(str(chunk_id)))
    except ValueError:
        chunk = None
    if chunk is None:
        raise Outdated(change.change_id, f"There is no section {chunk_id} in this version of the document.")
    return chunk


def _suitable(change: Change, check: Callable[[str], str]) -> str:
    if change.new_html is None:
        raise BadChange(change.change_id, f"{change.operation} needs new_html.")
    try:
        return check(change.new_html)
    except Unsuitable as error:
        raise BadChange(change.change_id, str(error)) from error


def _sanitised(html: str, *, rows: bool = False) -> str:
    if len(html) > LONGEST:
        raise Unsuitable(f"The proposed HTML has more than {LONGEST} characters. Propose less at once.")
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in html):
        raise Unsuitable("The proposed HTML holds characters that cannot be stored.")
    if _depth(parse(html)) > DEEPEST:
        raise Unsuitable(f"The proposed HTML is nested deeper than {DEEPEST} elements.")
    clean = sanitised(html, rows=rows).strip(SPACE)
    if not clean:
        raise Unsuitable("Nothing is left of the proposed HTML once it is sanitised. Propose to delete the section instead.")
    return clean


def _depth(root: Element) -> int:
    deepest, todo = 0, [(root, 0)]
    while todo:
        element, depth = todo.pop()
        deepest = max(deepest, depth)
        todo.extend((child, depth + 1) for child in element.children)
    return deepest


def _tops(html: str) -> list[str]:
    """The names of the outermost elements; an empty one stands for text outside of any."""
    tops: list[str] = []
    at = 0
    for child in parse(html).children:
        if html[at : child.start].strip(SPACE):
            tops.append("")
        at = child.end
        if child.tag != COMMENT:
            tops.append(child.tag)
    if html[at:].strip(SPACE):
        tops.append("")
    return tops


def _only(tops: list[str], html: str, tags: frozenset[str]) -> None:
    # Rows have no parse of their own outside a table: `sanitised` has seen to them.
    if "tr" in tags:
        return
    if not tops or not set(tops) <= tags:
        names = " or ".join(f"<{tag}>" for tag in sorted(tags))
        raise Unsuitable(f"Here only {names} can stand, with everything inside: got {_excerpt(html)}.")


def _only_blocks(tops: list[str], html: str) -> None:
    _no_parts(tops)
    if not any(tops) or any(top in INLINE or not top for top in tops):
        raise Unsuitable(f"Propose whole blocks, such as <p>...</p>, with no text outside of them: got {_excerpt(html)}.")


def _no_parts(tops: list[str]) -> None:
    misplaced = [top for top in tops if top in ITEMS or top in PARTS or top.startswith("#")]
    if misplaced:
        raise Unsuitable(f"<{misplaced[0].lstrip('#')}> cannot stand there by itself. Propose a whole list or table.")


def _only_phrasing(html: str) -> None:
    todo = list(parse(html).children)
    while todo:
        element = todo.pop()
        if element.tag not in INLINE and element.tag != COMMENT:
            raise Unsuitable(f"Only text and what runs with it can stand there, no <{element.tag}>.")
        todo.extend(element.children)
    if not is_visible(html):
        raise Unsuitable("There is no text in the proposed HTML.")


def _excerpt(html: str) -> str:
    line = " ".join(html.split())
    return line if len(line) <= 60 else f"{line[:60]}…"
