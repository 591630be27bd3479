"""A schedule is the same for everybody with the same seed, and another with another."""

import pytest

from benchmarks.schedule import DROP_SECONDS, FREE_SECONDS, Kind, draw


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert draw(7, seconds=30, rate=20, drops=2) == draw(7, seconds=30, rate=20, drops=2)
    assert draw(7, seconds=30, rate=20, drops=2) != draw(8, seconds=30, rate=20, drops=2)


@pytest.mark.parametrize("seed", range(20))
def test_clients_have_time_before_and_after_each_drop(seed: int) -> None:
    schedule = draw(seed, seconds=40, rate=20, drops=4)
    before, after = FREE_SECONDS
    ends = [0.0, *(drop.at + DROP_SECONDS + after for drop in schedule.drops)]
    assert all(drop.at >= end + before - 1e-9 for drop, end in zip(schedule.drops, ends, strict=False))
    assert ends[-1] <= 40 + 1e-9
    assert sorted(drop.kind for drop in schedule.drops) == [Kind.CUT, Kind.CUT, Kind.HOLE, Kind.HOLE]


def test_events_come_at_the_rate_that_was_asked_for() -> None:
    events = draw(1, seconds=100, rate=50, drops=1).events
    assert 4500 < len(events) < 5500
    assert list(events) == sorted(events)
    assert 0 < events[0] < events[-1] < 100


def test_too_many_drops_are_an_error() -> None:
    with pytest.raises(ValueError, match="4 drops need 28 s"):
        draw(1, seconds=27, rate=20, drops=4)
