"""The text of a chunk as a reader sees it, and changes of it that leave the markup as it is. No I/O."""

import re
from collections.abc import Iterable
from html import escape, unescape
from html.entities import html5
from typing import NamedTuple

from chat.editing.elements import INLINE
from chat.editing.tokens import Tokenizer

BREAK = "\0"
"""Stands in a text where a block or a line begins or ends, so that nothing is found across it. Documents hold no NUL."""
_REFERENCE = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});?")
_EMPTY = re.compile(r"<([a-z0-9]+)(?=[\s>])[^<>]*></\1\s*>", re.IGNORECASE)
_FORMATTING = frozenset({
    "a", "b", "big", "cite", "code", "del", "em", "font", "i", "ins", "mark", "q", "s", "small", "span", "strong", "u",
})  # fmt: skip


class Text(NamedTuple):
    """The text of some HTML: `characters[i]` is written at `[starts[i], ends[i])` of the HTML."""

    characters: str
    starts: list[int]
    ends: list[int]


class Rewrite(NamedTuple):
    """`[start, end)` of a text is to become `text`."""

    start: int
    end: int
    text: str


def text_of(html: str) -> Text:
    """The text, entities resolved, a `BREAK` for every tag that is no part of a line."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def add(text: str, start: int, end: int) -> None:
        parts.append(text)
        starts.extend([start] * len(text))
        ends.extend([end] * len(text))

    for kind, start, end, name in Tokenizer(html):
        if kind == "text":
            at = start
            for reference in _REFERENCE.finditer(html, start, end):
                _plain(html, at, reference.start(), parts, starts, ends)
                at = reference.end()
                resolved = unescape(reference[0])
                if resolved == reference[0]:
                    _plain(html, reference.start(), at, parts, starts, ends)
                elif reference[0][1] == "#" or reference[0][1:] in html5:
                    add(resolved, reference.start(), at)
                else:
                    # Only its beginning is a reference (`&notit;`): left alone as a whole.
                    add(BREAK, reference.start(), at)
            _plain(html, at, end, parts, starts, ends)
        elif kind in ("start", "end") and (name not in INLINE or name in ("br", "img")):
            add(BREAK, start, end)
    return Text("".join(parts), starts, ends)


def words_of_html(html: str) -> str:
    """The text in one line."""
    return " ".join(text_of(html).characters.replace(BREAK, " ").split())


def rewritten(html: str, text: Text, rewrites: Iterable[Rewrite]) -> str:
    """The HTML with parts of its text rewritten; tags stay where they are, formatting around nothing goes.

    New text takes the place, and so the formatting, of the first character that it replaces.
    """
    pieces: list[str] = []
    at = 0
    for start, end, new in sorted(rewrites):
        put = escape(new, quote=False)
        for position in range(start, end):
            if text.characters[position] == BREAK:
                continue
            pieces += (html[at : text.starts[position]] if text.starts[position] > at else "", put)
            put = ""
            at = max(at, text.ends[position])
    pieces.append(html[at:])
    return _without_empty("".join(pieces), html)


def _without_empty(html: str, before: str) -> str:
    """Without the formatting elements that lost all their text; those that were empty before stay."""
    kept = {match[0] for match in _EMPTY.finditer(before)}
    while True:
        shorter = _EMPTY.sub(lambda match: match[0] if match[0] in kept or match[1].lower() not in _FORMATTING else "", html)
        if shorter == html:
            return html
        html = shorter


def _plain(html: str, start: int, end: int, parts: list[str], starts: list[int], ends: list[int]) -> None:
    parts.append(html[start:end])
    starts.extend(range(start, end))
    ends.extend(range(start + 1, end + 1))
