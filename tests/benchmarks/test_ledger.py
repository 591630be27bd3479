"""The ledger tells losses, doubles and disorder apart, and a loss that a follower was told of from one that it was not."""

import random

import pytest

from benchmarks.ledger import SECOND, Ledger


def ledger_of(*followers: list[int | str]) -> Ledger:
    """Each list is what one follower received: numbers, and "gap"."""
    ledger = Ledger(len(followers))
    for who, received in enumerate(followers):
        for at, what in enumerate(received, start=1):
            if isinstance(what, int):
                ledger.event(who, what, at * SECOND)
            else:
                ledger.gap(who)
    return ledger


@pytest.mark.parametrize(
    ("received", "once", "lost", "unannounced", "doubled", "reversed_"),
    [
        ([1, 2, 3, 4, 5], 5, 0, 0, 0, 0),
        ([1, 2, 5], 3, 2, 2, 0, 0),
        ([1, 2, "gap", 5], 3, 2, 0, 0, 0),
        (["gap", 1, 2, 5], 3, 2, 2, 0, 0),
        ([1, "gap", 4, 5], 3, 2, 0, 0, 0),
        ([1, 2], 2, 3, 3, 0, 0),
        ([1, 2, "gap"], 2, 3, 0, 0, 0),
        ([1, 2, 2, 3, 4, 5], 4, 0, 0, 1, 0),
        ([1, 3, 2, 4, 5], 5, 0, 0, 0, 1),
        ([1, "gap", 4, 2, 5], 4, 1, 0, 0, 1),
        ([], 0, 5, 5, 0, 0),
        ([1, 2, 3, 4, 5, 1, 2], 3, 0, 0, 2, 0),
    ],
)
def test_what_is_wrong_is_counted(
    received: list[int | str], once: int, lost: int, unannounced: int, doubled: int, reversed_: int
) -> None:
    found = ledger_of(received).account(5)
    assert (found.once, found.lost, found.unannounced, found.doubled, found.reversed) == (
        once,
        lost,
        unannounced,
        doubled,
        reversed_,
    )


def test_followers_are_added_up() -> None:
    ledger = ledger_of([1, 2, 3], [1, "gap", 3], [1, 1, 2])
    found = ledger.account(3)
    assert (found.due, found.once, found.lost, found.unannounced, found.doubled, found.gaps) == (9, 6, 2, 1, 1, 1)
    assert ledger.have_all(1)
    assert not ledger.have_all(3)


def test_any_mixture_of_faults_is_counted_as_it_was_made() -> None:
    chance = random.Random(4)
    for _ in range(200):
        numbers = list(range(1, 30))
        lost = set(chance.sample(numbers, chance.randint(0, 9)))
        doubled = set(chance.sample(sorted(set(numbers) - lost), chance.randint(0, 9)))
        received = [number for number in numbers if number not in lost for _ in range(1 + (number in doubled))]
        chance.shuffle(received)
        found = ledger_of(received).account(29)
        assert (found.lost, found.doubled, found.once) == (len(lost), len(doubled), 29 - len(lost) - len(doubled))


def test_the_silence_after_a_drop_ends_with_the_next_event() -> None:
    ledger = ledger_of([1, 2, 3, 4], [1, 2])
    # The first hears again after 0.5 s; the second never.
    assert ledger.silence([2 * SECOND + SECOND // 2]) == 0.5
