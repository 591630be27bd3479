"""Complete, ordered, once, authorised, terminal: what a ledger must be, and each place where it is not.

A reader is complete when between two events of a publisher none is missing, unless it was told so (`backlog.truncated`)
between just these two. It may be told so only when a fault has made the broker forget since the last event that it received;
after the notice events may come again, as the documents say (everything that is still kept).
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.ledger import Answer, Got, History, Ledger, Publication, Reading

TERMINAL = {"completed", "failed", "cancelled"}
TERMINAL_STEPS = {f"run.{status}" for status in TERMINAL}
SLICE = 6


@dataclass(frozen=True)
class Finding:
    """One promise that was not kept: what kind, by which reader, what, and that part of its history."""

    kind: str
    reader: str
    what: str
    slice: tuple[str, ...] = ()


def check(ledger: Ledger) -> list[Finding]:
    """All findings; an empty list is what must come out."""
    found: list[Finding] = []
    for history in ledger.histories:
        found += _Walk(ledger, history).findings()
        for reading in history.expected_tokens(ledger.answers):
            found += _of_reading(ledger, reading)
    for reading in ledger.readings:
        found += _of_reading(ledger, reading)
    for answer in ledger.answers.values():
        found += _of_answer(answer)
    found += [Finding("foreign", "trespasser", each) for each in ledger.trespasses]
    found += [Finding("doubled", "accepted questions", each) for each in ledger.strays]
    return found


class _Walk:
    """One pass over the history of a reader of backlog streams."""

    def __init__(self, ledger: Ledger, history: History) -> None:
        self._ledger = ledger
        self._history = history
        self._sequences = _sequences(ledger)
        self._place: dict[tuple[str, str], int] = {}
        """Of each (stream, publisher): the index of what was received last."""
        self._told: set[tuple[str, str]] = set()
        """Of whom anything may come next, as a notice came."""
        self._last_id: dict[str, tuple[int, ...]] = {}
        self._newest: dict[str, float] = {}
        """Of each stream: when the newest of what was received was first sent."""

    def findings(self) -> Iterator[Finding]:
        for index, got in enumerate(self._history.got):
            for kind, what in self._take(got):
                yield Finding(kind, self._history.name, what, self._slice(index))
        yield from self._rest()

    def _take(self, got: Got) -> Iterator[tuple[str, str]]:
        if got.kind in ("event", "notice") and got.stream not in self._history.streams:
            yield "foreign", f"{self._history.person} received {got.stream} {got.publisher} {got.n} {got.what}"
        elif got.kind == "owned":
            yield from self._owned(got)
        elif got.kind == "notice":
            yield from self._notice(got)
        elif got.kind == "event":
            yield from self._order(got)
            if got.publisher:
                yield from self._number(got)

    def _owned(self, got: Got) -> Iterator[tuple[str, str]]:
        answer = self._ledger.answers.get(got.message_id)
        if answer is not None and answer.person != self._history.person:
            yield "foreign", f"{self._history.person} received {got.what} of {answer.person}'s answer {got.message_id}"

    def _notice(self, got: Got) -> Iterator[tuple[str, str]]:
        newest = self._newest.get(got.stream, 0.0)
        if not any(wipe.begin <= got.at and wipe.end >= newest for wipe in self._ledger.wipes):
            yield (
                "untrue",
                f"told that events of {got.stream} are missing, and the broker had forgotten nothing since the last one",
            )
        self._told |= {key for key in self._sequences if key[0] == got.stream}
        self._last_id.pop(got.stream, None)

    def _order(self, got: Got) -> Iterator[tuple[str, str]]:
        if not got.id:
            return  # a cursor over several streams, which says nothing to anybody
        id_, last = _place(got.id), self._last_id.get(got.stream)
        if last is not None and id_ <= last:
            yield ("doubled" if id_ == last else "disordered"), f"{got.stream} {got.id} came after {'-'.join(map(str, last))}"
        self._last_id[got.stream] = id_

    def _number(self, got: Got) -> Iterator[tuple[str, str]]:
        key = (got.stream, got.publisher)
        sequence = self._sequences.get(key, [])
        index = next((i for i, each in enumerate(sequence) if each.n == got.n), None)
        if index is None:
            yield "foreign", f"nobody published {got.stream} {got.publisher} {got.n}"
            return
        self._newest[got.stream] = max(self._newest.get(got.stream, 0.0), sequence[index].asked_at)
        before = self._place.get(key, -1)
        if key not in self._told and index <= before:
            kind = "doubled" if index == before else "disordered"
            yield kind, f"{_name(sequence[index])} came after {sequence[before].n}"
        skipped = sequence[before + 1 : index]
        if key in self._told:
            skipped = self._kept(skipped, got.at)
        yield from (("lost", what) for what in self._missing(skipped))
        self._told.discard(key)
        self._place[key] = index

    def _rest(self) -> Iterator[Finding]:
        for key, sequence in self._sequences.items():
            if key[0] in self._history.streams and key not in self._told:
                for what in self._missing(sequence[self._place.get(key, -1) + 1 :]):
                    yield Finding("lost", self._history.name, f"{what} (at the end)", self._slice(len(self._history.got)))
        for key in self._told:
            sequence = self._sequences[key]
            for what in self._missing(self._kept(sequence[self._place.get(key, -1) + 1 :], float("inf"))):
                yield Finding("lost", self._history.name, f"{what} (after the last notice)", self._slice(len(self._history.got)))

    def _kept(self, skipped: list[Publication], at: float) -> list[Publication]:
        """What the broker still had at a moment, notice or not: what was sent after the last time that it forgot."""
        last = max((wipe.end for wipe in self._ledger.wipes if wipe.begin <= at), default=0.0)
        return [each for each in skipped if each.asked_at > last]

    def _missing(self, skipped: list[Publication]) -> Iterator[str]:
        for each in skipped:
            if each.id and (each.stream, each.publisher, each.n) not in self._ledger.unreplicated:
                yield f"{_name(each)} never came"

    def _slice(self, index: int) -> tuple[str, ...]:
        """What came before and after, without the chat of answers: that is long, and in no order with the rest."""
        got = self._history.got
        before = [each for each in got[:index] if each.kind != "owned"][-SLICE:]
        after = [each for each in got[index:] if each.kind != "owned"][:SLICE]
        return tuple(map(_line, before + after))


def _sequences(ledger: Ledger) -> dict[tuple[str, str], list[Publication]]:
    sequences: dict[tuple[str, str], list[Publication]] = defaultdict(list)
    for each in ledger.publications:
        sequences[each.stream, each.publisher].append(each)
    return sequences


def _of_reading(ledger: Ledger, reading: Reading) -> Iterator[Finding]:
    def finding(kind: str, what: str) -> Finding:
        return Finding(kind, reading.name, f"{reading.message_id}: {what}", tuple(map(str, reading.parts[-SLICE:])))

    answer = ledger.answers[reading.message_id]
    if answer.person != reading.person:
        yield finding("foreign", f"{reading.person} read an answer of {answer.person}")
    ids = [id_ for id_, _, _ in reading.parts]
    if ids != sorted(set(ids)):
        again = next((b for a, b in itertools.pairwise(ids) if b <= a), None)
        yield finding("doubled" if again in ids[: ids.index(again)] or ids.count(again) > 1 else "disordered", f"ids {ids}")
    if len(reading.ends) != 1:
        yield finding("endless" if not reading.ends else "doubled", f"{len(reading.ends)} terminal frames")
    if answer.text is not None and reading.ends and reading.text != answer.stored:
        yield finding(_difference(reading.text, answer.stored), f"text {reading.text[-60:]!r}, stored {answer.stored[-60:]!r}")


def _difference(text: str, stored: str) -> str:
    return "lost" if len(text) < len(stored) else "doubled"


def _of_answer(answer: Answer) -> Iterator[Finding]:
    def finding(kind: str, what: str) -> Finding:
        return Finding(kind, "the server", f"{answer.message_id}: {what}", tuple(map(str, answer.steps[-SLICE:])))

    if answer.status not in TERMINAL:
        yield finding("endless", f"is {answer.status or 'unknown'}")
        return
    kinds = [kind for _, kind in answer.steps]
    ends = [kind for kind in kinds if kind in TERMINAL_STEPS]
    if ends != [f"run.{answer.status}"] or kinds[-1] != ends[0]:
        yield finding("doubled" if len(ends) > 1 else "endless", f"is {answer.status}, its journal ends with {kinds[-3:]}")
    if [n for n, _ in answer.steps] != list(range(1, len(answer.steps) + 1)):
        yield finding("lost", "its journal has holes")
    if answer.text is not None and not _is_what_was_said(answer):
        yield finding("lost", f"is {answer.status} with {answer.stored[-60:]!r}, the engine said {answer.text[-60:]!r}")
    if answer.pending_approvals:
        yield finding("endless", f"is over with {answer.pending_approvals} approvals open")
    if answer.changes_made > 1:
        yield finding("doubled", f"changed its document {answer.changes_made} times")


def _is_what_was_said(answer: Answer) -> bool:
    """An answer that was cut short by the death of its worker has the beginning of what the engine said."""
    assert answer.text is not None
    if answer.status == "completed":
        return answer.stored == answer.text
    return answer.text.startswith(answer.stored)


def _place(id_: str) -> tuple[int, ...]:
    return tuple(map(int, id_.split("-")))


def _name(publication: Publication) -> str:
    return f"{publication.stream} {publication.publisher} {publication.n} ({publication.id})"


def _line(got: Got) -> str:
    return f"{got.at:.3f} {got.kind} {got.stream} {got.id} {got.publisher} {got.n if got.n >= 0 else ''} {got.what}".rstrip()
