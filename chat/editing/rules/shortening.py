"""Shortening by leaving sentences out: the ones kept are those that share most words with the rest. No I/O.

Nothing is written anew, so nothing can be said that the text did not say.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from chat.editing.texts import BREAK, Rewrite, Text

KEPT = 0.6
"""Which share of a paragraph's sentences is kept, at least one."""
LEAST_SENTENCES = 3
"""A paragraph of fewer is left as it is."""
_END = re.compile(
    r"(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"')\]\u00bb\u201d\u2019]))\s+(?![a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u044f])"
    r"|(?<=[\u3002\uff01\uff1f])|(?<=\u061f)\s+"
)
# What ends in a full stop and ends no sentence.
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|no|nos|art|sec|fig|mr|mrs|ms|dr|prof|st|inc|ltd|co|approx|resp|al)|\b[a-z]|\d)\.$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences as `[start, end)`, the white space behind each with it; together they are the text."""
    found: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if match.end() <= start or _ABBREVIATION.search(text, max(start, match.start() - 12), match.start()):
            continue
        found.append((start, match.end()))
        start = match.end()
    if text[start:].strip():
        found.append((start, len(text)))
    elif found:
        found[-1] = (found[-1][0], len(text))
    return found


def shortening(text: Text, *, kept: float = KEPT) -> list[Rewrite]:
    """What to take out of a chunk's text; nothing when it is short already."""
    rewrites: list[Rewrite] = []
    at = 0
    for line in text.characters.split(BREAK):
        rewrites += [Rewrite(at + start, at + end, "") for start, end in _left_out(line, kept)]
        at += len(line) + len(BREAK)
    return rewrites


def _left_out(line: str, kept: float) -> list[tuple[int, int]]:
    spans = sentences(line)
    if len(spans) < LEAST_SENTENCES:
        return []
    scores = _scores([line[start:end] for start, end in spans])
    number = max(1, math.ceil(len(spans) * kept))
    best = set(sorted(range(len(spans)), key=lambda at: (-scores[at], at))[:number])
    out = [span for at, span in enumerate(spans) if at not in best]
    # What is left ends as the line did: the space before a dropped last sentence goes with it.
    return [(_before_space(line, start) if end == len(line) else start, end) for start, end in out]


def _scores(texts: Sequence[str]) -> list[float]:
    """How much of each sentence is what the paragraph is about; the first counts a little more, as it says what follows."""
    words = [_words(text) for text in texts]
    common = Counter(word for each in words for word in set(each))
    scores = []
    for at, each in enumerate(words):
        shared = sum(common[word] - 1 for word in set(each))
        scores.append((shared + 0.5 * len(set(each))) / math.sqrt(len(each) + 1) * (1.25 if at == 0 else 1.0))
    return scores


def _words(text: str) -> list[str]:
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        # Short words say little; where words are not spaced each character counts.
        found += list(word) if _UNSPACED.search(word) else [word] if len(word) > 3 or word.isdigit() else []
    return found


def _before_space(line: str, start: int) -> int:
    return len(line[:start].rstrip())
