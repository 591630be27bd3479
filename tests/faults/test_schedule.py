"""Schedules come from their seed, and failures shrink."""

from collections.abc import Sequence

import pytest

from tests.faults.faults import KINDS
from tests.faults.schedule import draw
from tests.faults.shrinking import smallest


@pytest.mark.parametrize("broker", ["redis", "nats"])
def test_the_same_seed_gives_the_same_faults_and_another_seed_others(broker: str):
    assert draw(seed=1, seconds=600, broker=broker) == draw(seed=1, seconds=600, broker=broker)
    assert draw(seed=1, seconds=600, broker=broker) != draw(seed=2, seconds=600, broker=broker)


@pytest.mark.parametrize("broker", ["redis", "nats"])
def test_ten_minutes_have_every_kind_of_fault_that_the_broker_knows(broker: str):
    kinds = {fault.kind for fault in draw(seed=3, seconds=600, broker=broker)}
    assert kinds == {name for name, kind in KINDS.items() if broker in kind.brokers}


def test_a_short_schedule_has_at_least_one_fault():
    assert len(draw(seed=1, seconds=0, broker="redis")) == 1


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="No fault of"):
        draw(seed=1, seconds=10, broker="nats", only=["jump_clock"])


async def test_what_is_not_needed_for_a_failure_is_left_out():
    asked = []

    async def fails(items: Sequence[int]) -> bool:
        asked.append(list(items))
        return {3, 11} <= set(items)

    assert await smallest(range(16), fails, seconds=60) == [3, 11]
    assert len(asked) < 60


async def test_a_failure_that_does_not_come_again_keeps_all():
    async def fails(items: Sequence[int]) -> bool:
        return False

    assert await smallest(range(5), fails, seconds=60) == list(range(5))


async def test_it_ends_when_its_time_is_over():
    now = 0.0

    async def fails(items: Sequence[int]) -> bool:
        nonlocal now
        now += 10
        return True

    kept = await smallest(range(1000), fails, seconds=25, clock=lambda: now)
    assert 1 < len(kept) < 1000
