"""What is different between two pieces of HTML, word by word, marked in both. No I/O.

Only text is marked, never across a tag: what was well nested stays so, and nothing in a tag, script or comment is touched.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

from chat.editing.tokens import Tokenizer

MOST_COMPARISONS = 4_000_000
"""Comparing takes time by the product of both sizes; beyond this all that is not at both ends the same counts as changed."""
_WORDS = re.compile(r"&(?:#?\w+);|\w+|\s+|[^\w\s]")


class _Piece(NamedTuple):
    html: str
    is_text: bool


def marked(old: str, new: str) -> tuple[str, str]:
    """Both with what only one of them has in `<del>` and `<ins>`."""
    before, after = list(_pieces(old)), list(_pieces(new))
    gone, added = _different(before, after)
    return _with_marks(before, gone, "del"), _with_marks(after, added, "ins")


def _pieces(html: str) -> Iterator[_Piece]:
    for token in Tokenizer(html):
        text = html[token.start : token.end]
        if token.kind == "text":
            yield from (_Piece(match[0], True) for match in _WORDS.finditer(text))
        else:
            yield _Piece(text, False)


def _different(before: Sequence[_Piece], after: Sequence[_Piece]) -> tuple[set[int], set[int]]:
    """The positions in each that the other has not."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    if len(one) * len(other) > MOST_COMPARISONS:
        return set(range(start, start + len(one))), set(range(start, start + len(other)))
    gone: set[int] = set()
    added: set[int] = set()
    for operation, i, j, k, m in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if operation != "equal":
            gone.update(range(start + i, start + j))
            added.update(range(start + k, start + m))
    return gone, added


def _with_marks(pieces: Sequence[_Piece], places: set[int], mark: str) -> str:
    numbered = groupby(enumerate(pieces), key=lambda each: each[1].is_text and each[0] in places)
    parts = []
    for is_marked, group in numbered:
        text = "".join(piece.html for _, piece in group)
        parts.append(f"<{mark}>{text}</{mark}>" if is_marked and text.strip() else text)
    return "".join(parts)
