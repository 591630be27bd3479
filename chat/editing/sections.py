"""The sections of a document: a heading and all that belongs to it. No I/O."""

import re
from bisect import bisect_left
from dataclasses import dataclass

from chat.editing.document import Chunk, Document
from chat.editing.elements import HEADINGS
from chat.editing.texts import words_of_html
from chat.editing.tree import Element, elements

_APART = frozenset({"footer", "nav"})
_FRAME = frozenset({"#root", "html", "body", "main", "article"})
_NUMBER = re.compile(r"^(?:(?:section|chapter|part)\s+)?(?:\d+(?:\.\d+)*|[ivxlc]+|[a-z])[.)]?:?\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Section:
    """`title` as it reads, `level` 1 to 6, `chunks` from the heading to the last that belongs to it."""

    title: str
    level: int
    chunks: tuple[Chunk, ...]

    @property
    def heading(self) -> Chunk:
        """The heading itself."""
        return self.chunks[0]


def sections(document: Document) -> list[Section]:
    """Every section in its order; those within others are in both."""
    headings = [at for at, chunk in enumerate(document.chunks) if chunk.tag in HEADINGS]
    ends = _next_of_same_level(document, headings)
    apart = [(each.start, each.end) for each in elements(document.root) if each.tag in _APART]
    return [_section(document, at, end, apart) for at, end in zip(headings, ends, strict=True)]


def named(document: Document, name: str) -> list[Section]:
    """The sections of that title: letter for letter, else without capitals and numbers, else those that contain it."""
    wanted = _folded(name)
    found = sections(document)
    for fits in (
        lambda title: title == name,
        lambda title: _folded(title) == wanted,
        lambda title: _bare(title) == _bare(name),
        lambda title: bool(wanted) and wanted in _folded(title),
    ):
        matching = [section for section in found if fits(section.title)]
        if matching:
            return matching
    return []


def _next_of_same_level(document: Document, headings: list[int]) -> list[int]:
    """For each heading the position of the next that is not below it."""
    ends = [len(document.chunks)] * len(headings)
    open_: list[int] = []
    for index, at in enumerate(headings):
        while open_ and document.chunks[headings[open_[-1]]].tag >= document.chunks[at].tag:
            ends[open_.pop()] = at
        open_.append(index)
    return ends


def _section(document: Document, at: int, end: int, apart: list[tuple[int, int]]) -> Section:
    heading = document.chunks[at]
    members = document.chunks[at:end]
    element: Element | None = document.parent_of(heading)
    # As far as the element around the heading goes; one that holds nothing but the heading is part of the heading.
    while element is not None and element.tag not in _FRAME:
        inside = bisect_left(members, element.end, key=lambda chunk: chunk.start)
        if inside > 1:
            members = members[:inside]
            break
        element = element.parent
    title = words_of_html(document.html_of(heading))
    return Section(title, int(heading.tag[1]), _without_footer(heading, members, apart))


def _without_footer(heading: Chunk, members: tuple[Chunk, ...], apart: list[tuple[int, int]]) -> tuple[Chunk, ...]:
    """Up to the page's footer or navigation, unless the heading is in one itself."""
    following = bisect_left(apart, (heading.start, 0))
    if following and apart[following - 1][1] > heading.start:
        return members
    if following == len(apart):
        return members
    return members[: bisect_left(members, apart[following][0], key=lambda chunk: chunk.start)]


def _folded(title: str) -> str:
    return " ".join(title.split()).casefold().strip(" .:!?\"'")


def _bare(title: str) -> str:
    return _NUMBER.sub("", _folded(title))
