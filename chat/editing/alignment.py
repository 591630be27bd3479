"""Ids for a document that comes back changed by other hands: what is the same, or much the same, keeps its id. No I/O."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from uuid import UUID, uuid4

from chat.editing.chunks import Range, split
from chat.editing.document import Chunk, Document

ALIKE = 0.6
COMPARED_CHARS = 1000
MOST_COMPARED = 400


def realigned(old: Document, html: str, *, new_id: Callable[[], UUID] = uuid4) -> Document:
    """`html` cut anew, with the ids of `old`.

    A chunk keeps its id when its HTML is the same, in order (patience diff: first both ends, then what occurs
    once in both, then the neighbours of those). Between two that are the same, one that is of the same kind and much
    alike keeps it too, or any when as many stood there before, of the same kinds. The rest is new.
    """
    ranges = split(html)
    before = [(chunk.tag, old.html_of(chunk)) for chunk in old.chunks]
    after = [(each.tag, html[each.start : each.end]) for each in ranges]
    kept = _matches(before, after)
    return Document(html, tuple(_chunks(old, ranges, kept, new_id)))


Said = tuple[str, str]


def _matches(before: Sequence[Said], after: Sequence[Said]) -> dict[int, int]:
    """Position after -> position before, rising in both."""
    kept: dict[int, int] = {}
    todo = [(0, len(before), 0, len(after))]
    while todo:
        a, a_end, b, b_end = todo.pop()
        while a < a_end and b < b_end and before[a] == after[b]:
            kept[b] = a
            a, b = a + 1, b + 1
        while a < a_end and b < b_end and before[a_end - 1] == after[b_end - 1]:
            a_end, b_end = a_end - 1, b_end - 1
            kept[b_end] = a_end
        if a == a_end or b == b_end:
            continue
        anchors = _anchors(before, after, a, a_end, b, b_end)
        if not anchors:
            kept.update(_in_place(before, after, a, a_end, b, b_end))
            continue
        for at_before, at_after in [*anchors, (a_end, b_end)]:
            todo.append((a, at_before, b, at_after))
            if at_before < a_end:
                kept[at_after] = at_before
            a, b = at_before + 1, at_after + 1
    return kept


def _anchors(before: Sequence[Said], after: Sequence[Said], a: int, a_end: int, b: int, b_end: int) -> list[tuple[int, int]]:
    """What occurs once on each side, the longest run of it that rises on both."""
    there = Counter(before[a:a_end])
    here = Counter(after[b:b_end])
    where = {before[at]: at for at in range(a, a_end) if there[before[at]] == 1}
    pairs = [(where[after[at]], at) for at in range(b, b_end) if here[after[at]] == 1 and after[at] in where]
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, (at_before, _) in enumerate(pairs):
        place = bisect_left(tails, at_before)
        previous.append(ends[place - 1] if place else -1)
        tails[place : place + 1] = [at_before]
        ends[place : place + 1] = [index]
    found: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        found.append(pairs[index])
        index = previous[index]
    return found[::-1]


def _in_place(before: Sequence[Said], after: Sequence[Said], a: int, a_end: int, b: int, b_end: int) -> dict[int, int]:
    """Pairs where nothing is the same: all in their order, else those much alike, among few."""
    if [tag for tag, _ in before[a:a_end]] == [tag for tag, _ in after[b:b_end]]:
        return dict(zip(range(b, b_end), range(a, a_end), strict=True))
    if (a_end - a) * (b_end - b) > MOST_COMPARED:
        return {}
    found: dict[int, int] = {}
    for at in range(b, b_end):
        first = next((other for other in range(a, a_end) if _alike(before[other], after[at])), None)
        if first is not None:
            found[at] = first
            a = first + 1
    return found


def _alike(one: Said, other: Said) -> bool:
    matcher = SequenceMatcher(None, one[1][:COMPARED_CHARS], other[1][:COMPARED_CHARS], autojunk=False)
    return one[0] == other[0] and matcher.quick_ratio() >= ALIKE


def _chunks(old: Document, ranges: Sequence[Range], kept: dict[int, int], new_id: Callable[[], UUID]) -> list[Chunk]:
    return [
        Chunk(old.chunks[kept[at]].id if at in kept else new_id(), each.start, each.end, each.tag)
        for at, each in enumerate(ranges)
    ]
