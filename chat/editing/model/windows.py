"""Which chunks of a document a language model is sent, when it cannot be sent all. No I/O."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from chat.editing.document import Chunk, Document
from chat.editing.elements import HEADINGS
from chat.editing.sections import sections
from chat.editing.texts import words_of_html
from chat.engines.extractive import words_of
from knowledge.extraction.tokens import count_tokens

PIECE_TOKENS = 12
"""What is written around each chunk."""
NEIGHBOURS = 2
"""How many chunks before and after a relevant one are sent with it."""
_EVERYTHING = re.compile(
    r"\b(?:all|every|everything|everywhere|each|whole|entire|entirely|throughout|document|text|page|translate|proofread|rewrite)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Window:
    """Chunks to be sent at once, in their order; `number` of `total`."""

    chunks: tuple[Chunk, ...]
    number: int = 1
    total: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """What a model gets to see: the windows, and how many chunks are in none because they are too long or too far."""

    windows: tuple[Window, ...]
    too_long: int = 0
    left_out: int = 0


def view(document: Document, message: str, *, budget: int, most: int, about: Sequence[Chunk] = ()) -> View:
    """The windows for an instruction, each of at most `budget` tokens of HTML, at most `most` of them.

    The whole document when it fits; else what the instruction is about: `about` when given, a part of the document by the
    words that they share, or everything in turn when it asks for everything or nothing matches.
    """
    costs = {chunk.id: count_tokens(document.html_of(chunk)) + PIECE_TOKENS for chunk in document.chunks}
    fitting = [chunk for chunk in document.chunks if costs[chunk.id] <= budget]
    too_long = len(document.chunks) - len(fitting)
    if about:
        return View((Window(_around(document, about, costs, budget)),), too_long)
    if sum(costs[chunk.id] for chunk in fitting) <= budget:
        return View((Window(tuple(fitting)),), too_long)
    relevant = [] if _EVERYTHING.search(message) else _relevant(document, message)
    if relevant:
        chosen = _around(document, relevant, costs, budget)
        return View((Window(chosen),), too_long, len(fitting) - len(chosen))
    parts = list(_parts(fitting, costs, budget))
    left_out = sum(len(part) for part in parts[most:])
    parts = parts[:most]
    return View(tuple(Window(part, at, len(parts)) for at, part in enumerate(parts, 1)), too_long, left_out)


def outline(document: Document, *, budget: int) -> list[Chunk]:
    """The headings of the document, the lowest levels left out as long as they are too many."""
    headings = [chunk for chunk in document.chunks if chunk.tag in HEADINGS]
    for level in range(6, 0, -1):
        kept = [chunk for chunk in headings if int(chunk.tag[1]) <= level]
        if sum(count_tokens(document.html_of(chunk)) + PIECE_TOKENS for chunk in kept) <= budget:
            return kept
    return []


def _parts(chunks: Iterable[Chunk], costs: dict[UUID, int], budget: int) -> Iterable[tuple[Chunk, ...]]:
    held: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if held and size + costs[chunk.id] > budget:
            yield tuple(held)
            held, size = [], 0
        held.append(chunk)
        size += costs[chunk.id]
    if held:
        yield tuple(held)


def _relevant(document: Document, message: str) -> list[Chunk]:
    """The chunks that share most with the message, best first: words that are rare in the document count most."""
    asked = set(words_of(message))
    if not asked:
        return []
    found = [asked & set(words_of(words_of_html(document.html_of(chunk)))) for chunk in document.chunks]
    above = _above(document)
    holding = Counter(word for words in found for word in words)
    number = len(document.chunks)
    # A word of every other chunk says nothing about where.
    weights = {word: math.log(number / count) for word, count in holding.items() if count < number / 4 and len(word) > 2}
    scores = [
        sum(weights.get(word, 0.0) for word in words)
        + 0.5 * sum(weights.get(word, 0.0) for word in asked & above.get(at, frozenset()))
        for at, words in enumerate(found)
    ]
    best = max(scores, default=0.0)
    ranked = sorted((at for at, score in enumerate(scores) if score > 0.3 * best > 0), key=lambda at: (-scores[at], at))
    return [document.chunks[at] for at in ranked]


def _above(document: Document) -> dict[int, frozenset[str]]:
    """The words of the innermost heading above each chunk."""
    above: dict[int, frozenset[str]] = {}
    for section in sections(document):
        words = frozenset(words_of(section.title))
        for chunk in section.chunks:
            above[document.positions[chunk.id]] = words
    return above


def _around(document: Document, ranked: Sequence[Chunk], costs: dict[UUID, int], budget: int) -> tuple[Chunk, ...]:
    """As many of the chunks as fit, best first, each with its neighbours; in the order of the document."""
    chosen: set[int] = set()
    for chunk in ranked:
        at = document.positions[chunk.id]
        near = sorted(
            range(max(0, at - NEIGHBOURS), min(len(document.chunks), at + NEIGHBOURS + 1)), key=lambda each: abs(each - at)
        )
        for each in near:
            cost = costs[document.chunks[each].id]
            if each not in chosen and cost <= budget:
                chosen.add(each)
                budget -= cost
    return tuple(document.chunks[at] for at in sorted(chosen))
