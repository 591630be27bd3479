"""Everything that was accepted, and everything that each client received: what the checker compares."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Publication:
    """Number `n` of a publisher, for a stream. `id` is empty until it was accepted; `asked_at`: when it was first sent."""

    stream: str
    publisher: str
    n: int
    asked_at: float
    id: str = ""
    tries: int = 0


@dataclass(frozen=True)
class Got:
    """What a client received. Kinds: `event`, `notice` (backlog.truncated), `owned` (it is about somebody's answer)."""

    at: float
    kind: str
    stream: str = ""
    id: str = ""
    publisher: str = ""
    n: int = -1
    message_id: str = ""
    what: str = ""


@dataclass
class Reading:
    """What one reader of an answer received, over all its connections: `parts` are (id, kind, text), in order."""

    name: str
    person: str
    message_id: str
    parts: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(text for _, kind, text in self.parts if kind == "text")

    @property
    def ends(self) -> list[str]:
        """Its terminal frames."""
        return [text for _, kind, text in self.parts if kind == "end"]


@dataclass
class History:
    """What one client of backlog streams received, in order. `person` may hear `streams` and nothing else."""

    name: str
    person: str
    streams: tuple[str, ...]
    got: list[Got] = field(default_factory=list)
    tokens: dict[str, Reading] | None = None
    """By message id what it heard of answers token by token, as topics tell them; None where it asks for none."""

    def add(self, kind: str, **fields: Any) -> None:
        """One more."""
        self.got.append(Got(time.monotonic(), kind, **fields))

    def add_token(self, message_id: str, seq: int, kind: str, text: str) -> None:
        """One more of an answer."""
        if self.tokens is not None:
            reading = Reading(f"{self.name}, tokens", self.person, message_id)
            self.tokens.setdefault(message_id, reading).parts.append((seq, kind, text))

    def expected_tokens(self, answers: dict[str, Answer]) -> list[Reading]:
        """Of each of this person's answers what it heard, maybe nothing. None at all of one who was told that events are
        missing: that an answer had begun may have been among them."""
        if self.tokens is None or any(each.kind == "notice" for each in self.got):
            return []
        mine = [each for each in answers.values() if each.person == self.person and each.text is not None]
        empty = {each.message_id: Reading(f"{self.name}, tokens", self.person, each.message_id) for each in mine}
        return list((empty | {id_: each for id_, each in self.tokens.items() if id_ in answers}).values())


@dataclass
class Answer:
    """An answer that was accepted: `text` is what its engine says, None for a job."""

    message_id: str
    person: str
    text: str | None
    asked_at: float
    status: str = ""
    stored: str = ""
    """What the server says of it in the end."""
    steps: tuple[tuple[int, str], ...] = ()
    """Its journal: (number, type)."""
    pending_approvals: int = 0
    changes_made: int = 0
    """How many versions of a document a job has made."""


@dataclass
class Wipe:
    """A fault after which the broker may have forgotten what it had. `end` is infinite while it lasts."""

    kind: str
    begin: float
    end: float = float("inf")


@dataclass
class Ledger:
    """All of one run of the driver."""

    publications: list[Publication] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    wipes: list[Wipe] = field(default_factory=list)
    unreplicated: set[tuple[str, str, int]] = field(default_factory=set)
    """(stream, publisher, n) that were accepted by a primary which died before its replica had them."""
    trespasses: list[str] = field(default_factory=list)
    """Requests for what is somebody else's that were answered."""
    strays: list[str] = field(default_factory=list)
    """Answers and jobs that the server has and nobody asked for."""

    def publish(self, stream: str, publisher: str, n: int) -> Publication:
        """Notes that this is about to be sent."""
        publication = Publication(stream, publisher, n, time.monotonic())
        self.publications.append(publication)
        return publication

    def accept(self, answer: Answer) -> None:
        """Notes an answer that was accepted."""
        self.answers[answer.message_id] = answer

    @contextmanager
    def wiping(self, kind: str) -> Iterator[None]:
        """What happens within may make the broker forget."""
        wipe = Wipe(kind, time.monotonic())
        self.wipes.append(wipe)
        try:
            yield
        finally:
            wipe.end = time.monotonic()
