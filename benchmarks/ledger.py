"""What followers received, against what was published: once, lost, doubled, out of order, told of a gap or not."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

SECOND = 1_000_000_000
"""Times are CLOCK_MONOTONIC in nanoseconds."""


@dataclass(frozen=True)
class Account:
    """The sums over all followers; `due` is how many deliveries there should have been."""

    due: int
    once: int
    lost: int
    unannounced: int
    """Of the lost ones: those whose follower was not told of a gap between what came before and after them."""
    doubled: int
    reversed: int
    gaps: int


@dataclass
class _Page:
    """One follower: how often each number came, and of the numbers that did not come whether it was told of a gap there."""

    times: dict[int, int] = field(default_factory=dict)
    arrivals: list[int] = field(default_factory=list)
    highest: int = 0
    reversed: int = 0
    gaps: int = 0
    is_told: bool = False
    announced: set[int] = field(default_factory=set)

    def skip_to(self, number: int) -> None:
        """Everything between the highest and `number` has been passed over."""
        if self.is_told:
            self.announced.update(range(self.highest + 1, number))
        self.is_told = False

    def account(self, sent: int) -> Account:
        self.skip_to(max(sent, self.highest) + 1)
        lost = {number for number in range(1, sent + 1) if number not in self.times}
        return Account(
            due=sent,
            once=sum(count == 1 for count in self.times.values()),
            lost=len(lost),
            unannounced=len(lost - self.announced),
            doubled=sum(count - 1 for count in self.times.values()),
            reversed=self.reversed,
            gaps=self.gaps,
        )


class Ledger:
    """One page for each follower; events are numbered from 1 in the order of their publication."""

    def __init__(self, followers: int) -> None:
        self._pages = [_Page() for _ in range(followers)]

    def event(self, follower: int, number: int, at: int) -> None:
        """A follower received this event at this time."""
        page = self._pages[follower]
        page.arrivals.append(at)
        seen = page.times.get(number, 0)
        page.times[number] = seen + 1
        if number > page.highest:
            page.skip_to(number)
            page.highest = number
        elif not seen:
            page.reversed += 1

    def gap(self, follower: int) -> None:
        """A follower was told that events may be missing here."""
        self._pages[follower].gaps += 1
        self._pages[follower].is_told = True

    def have_all(self, number: int) -> bool:
        """Whether every follower has received this event."""
        return all(number in page.times for page in self._pages)

    def account(self, sent: int) -> Account:
        """The account after `sent` events, which no more will follow."""
        pages = [page.account(sent) for page in self._pages]
        return Account(**{name: sum(getattr(page, name) for page in pages) for name in Account.__dataclass_fields__})

    def silence(self, ends: Sequence[int]) -> float:
        """How long after the end of a drop a follower received its next event: the median, in seconds."""
        waits = [
            (next(at for at in page.arrivals if at >= end) - end) / SECOND
            for page in self._pages
            for end in ends
            if page.arrivals and page.arrivals[-1] >= end
        ]
        return statistics.median(waits) if waits else float("nan")
