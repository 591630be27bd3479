"""Cutting a document into chunks: the paragraphs, list items, rows and headings that can be changed one by one. No I/O.

What is between chunks - tags around them, white space, scripts, controls, everything that `policy` refuses - is never changed.
"""

from collections.abc import Iterator
from typing import NamedTuple

from chat.editing.elements import FLOW_PARENTS, INLINE, ITEM_PARENTS, ITEMS, OPAQUE, PARTS, PHRASING_PARENTS, VOID
from chat.editing.policy import refused
from chat.editing.tokens import SPACE, Tokenizer
from chat.editing.tree import COMMENT, REST, STRAY, Element, parse

WHOLE_CHARS = 4000
"""A list item, row or figure of up to so many characters is one chunk, whatever is in it."""
WHOLE = frozenset({"li", "dt", "dd", "tr", "figure"})
EDGES = SPACE + "\ufeff"
"""White space, and the byte order mark: never at the edge of a chunk."""
FLOW, PHRASING, CELLS = "flow", "phrasing", "cells"


class Range(NamedTuple):
    """`[start, end)` of the text; `tag`: the one element it is, empty for loose text between elements."""

    start: int
    end: int
    tag: str


def split(html: str, root: Element | None = None) -> list[Range]:
    """The chunks in their order; they do not overlap. `root`: the text's elements when they are known already."""
    return list(_Splitter(html, root or parse(html)).ranges())


def takes(element: Element | None) -> str:
    """What may stand in an element: flow, phrasing, cells, or the kind of item (li, dt, tr)."""
    while element is not None:
        kind = own_kind(element.tag)
        if kind:
            return kind
        element = element.parent
    return FLOW


def own_kind(tag: str) -> str:
    """What an element takes by itself; empty when that depends on where it stands."""
    if tag in FLOW_PARENTS:
        return FLOW
    if tag in PHRASING_PARENTS:
        return PHRASING
    return CELLS if tag == "tr" else ITEM_PARENTS.get(tag, "")


def is_visible(html: str) -> bool:
    """Whether there is text or a picture in it."""
    return any(
        (kind == "text" and html[start:end].strip(EDGES)) or (kind == "start" and name == "img")
        for kind, start, end, name in Tokenizer(html)
    )


class _Frame:
    """An element that is being looked into: its children still to come, and where the text began that no chunk has yet.

    `torn`: the last child was an svg without an end tag; what follows ended it, and must go on doing so.
    """

    __slots__ = ("element", "kind", "rest", "run", "torn")

    def __init__(self, element: Element, kind: str) -> None:
        self.element = element
        self.kind = kind
        self.rest = iter(element.children)
        self.run = element.inner
        self.torn = False


class _Splitter:
    """One cutting. `_wild`: elements that hold something refused; `_blocky`: those that hold blocks."""

    def __init__(self, html: str, root: Element) -> None:
        self._html = html
        self._root = root
        self._wild: set[Element] = set()
        self._blocky: set[Element] = set()
        self._mark()

    def ranges(self) -> Iterator[Range]:
        frames = [_Frame(self._root, FLOW)]
        while frames:
            frame = frames[-1]
            child = next(frame.rest, None)
            if child is None:
                yield from self._loose(frame, frame.element.inner_end)
                frames.pop()
            elif not self._runs(child):
                yield from self._loose(frame, child.start)
                frame.run = child.end
                torn, frame.torn = frame.torn, child.foreign and child.inner_end == child.end
                if torn:
                    continue
                if self._is_chunk(child, frame.kind):
                    yield Range(child.start, self._trimmed(child.start, child.end), child.tag)
                elif child.tag[0] != "#" and child.tag not in OPAQUE and child.tag not in VOID:
                    frames.append(_Frame(child, own_kind(child.tag) or frame.kind))

    def _mark(self) -> None:
        todo = [self._root]
        while todo:
            element = todo.pop()
            for child in element.children:
                if child.tag[0] == "#":
                    # A second <body class=...>, a row outside tables, a tag cut off: a parser would drop it.
                    if child.tag == REST or (child.tag == STRAY and self._html[child.start + 1] != "/"):
                        _mark_up(child, self._wild)
                    continue
                if child.foreign or refused(child.tag, self._html[child.start : child.inner]):
                    _mark_up(child, self._wild)
                if child.tag not in INLINE:
                    _mark_up(element, self._blocky)
                if child.children:
                    todo.append(child)

    def _runs(self, child: Element) -> bool:
        """Whether it is part of the text around it."""
        return child.tag == COMMENT or (child.tag in INLINE and child not in self._wild and child not in self._blocky)

    def _is_chunk(self, child: Element, kind: str) -> bool:
        tag = child.tag
        if child in self._wild or tag[0] == "#" or tag in INLINE or tag in PARTS or tag in OPAQUE or tag == "hr":
            return False
        if kind != FLOW and tag not in ITEMS.get(kind, ()):
            return False
        if tag in WHOLE:
            return child not in self._blocky or child.end - child.start <= WHOLE_CHARS
        return child not in self._blocky and is_visible(self._html[child.start : child.end])

    def _loose(self, frame: _Frame, end: int) -> Iterator[Range]:
        """The text since the last child that was no text, if it says anything and stands where text may stand."""
        start, frame.run = frame.run, end
        if frame.kind not in (FLOW, PHRASING) or start >= end:
            return
        html = self._html[start:end]
        if not html.strip(SPACE):
            return
        if frame.torn:
            frame.torn = False
            return
        tokens = [
            token
            for token in Tokenizer(html)
            if token.kind != "comment" and (token.kind != "text" or html[token.start : token.end].strip(EDGES))
        ]
        if tokens and is_visible(html):
            first, last = start + tokens[0].start, start + tokens[-1].end
            first += len(self._html[first:last]) - len(self._html[first:last].lstrip(EDGES))
            yield Range(first, self._trimmed(first, last), "")

    def _trimmed(self, start: int, end: int) -> int:
        """The end without white space: an element whose end tag is left out reaches up to the next one."""
        return start + len(self._html[start:end].rstrip(EDGES))


def _mark_up(element: Element | None, marked: set[Element]) -> None:
    """Marks an element and all around it."""
    while element is not None and element not in marked:
        marked.add(element)
        element = element.parent
