"""Where a text can be cut without tearing a sentence, in any language. No I/O."""

import re
from collections.abc import Iterator

from knowledge.extraction.tokens import count_tokens

_ENDS = re.compile(
    # After .!? and closing quotes, when white space follows and then no small letter ("e.g. this" goes on).
    r"[.!?\u2026\u061f\u06d4\u0964]+[\"'\u201d\u2019\u00bb)\]]*\s+(?![a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u044f])"
    # Scripts without spaces end their sentences with signs of their own.
    r"|[\u3002\uff01\uff1f\uff0e]+[\u300d\u300f\uff09\u201d]*\s*"
    # A blank line; a line before a list item or a row of a table.
    r"|\n[ \t]*\n\s*"
    r"|\n(?=[ \t]*(?:[-*+\u2022|]|\d{1,3}[.)])[ \t]?)"
)


def sentences(text: str, *, most: int) -> Iterator[str]:
    """The text in sentences, which joined are the text again; one of more than `most` tokens is cut between words."""
    start = 0
    for match in _ENDS.finditer(text):
        if match.end() > start:
            yield from _short(text[start : match.end()], most)
            start = match.end()
    if start < len(text):
        yield from _short(text[start:], most)


def windows(text: str, *, least: int) -> list[str]:
    """The text in pieces of whole sentences, each of at least `least` tokens where there are so many, and hardly more."""
    found: list[str] = []
    held, size = "", 0
    for sentence in sentences(text, most=2 * least):
        held += sentence
        size += count_tokens(sentence)
        if size >= least:
            found.append(held)
            held, size = "", 0
    if not found or size >= least // 3:
        found.append(held)
    elif held:
        found[-1] += held
    return found


def _short(sentence: str, most: int) -> Iterator[str]:
    # No token is shorter than a character, so this also spares the counting of short sentences.
    if len(sentence) <= most or count_tokens(sentence) <= most:
        yield sentence
        return
    part: list[str] = []
    size = 0
    for word in re.findall(r"\S{1,40}\s*|\s+", sentence):
        tokens = count_tokens(word)
        if part and size + tokens > most:
            yield "".join(part)
            part, size = [], 0
        part.append(word)
        size += tokens
    if part:
        yield "".join(part)
