import asyncio
import uuid

import pytest

from events.exceptions import BrokerUnavailable, TooMany
from events.hub import close_hub, current_hub
from events.limits import Slots


@pytest.fixture
def user():
    return f"user_{uuid.uuid4().hex}"


@pytest.fixture
def slots(broker):
    return Slots(broker)


async def admitted(slots, user, count, *, replays=False):
    """So many tries, one after the other: the slots got, and the errors."""
    got, errors = [], []
    for _ in range(count):
        try:
            got.append(await slots.take(user, replays=replays))
        except TooMany as error:
            errors.append(error)
    return got, errors


async def test_so_many_are_admitted_and_one_comes_in_when_one_has_left(slots, user, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 3
    got, errors = await admitted(slots, user, 5)
    assert (len(got), len(errors)) == (3, 2)
    assert errors[0].http_status == 429
    assert "concurrent" in errors[0].message
    assert errors[0].retry_after > 0
    await got[1].give_back()
    got, errors = await admitted(slots, user, 2)
    assert (len(got), len(errors)) == (1, 1)


async def test_users_and_processes_are_counted_apart_and_together(broker, user, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 2
    one, other = Slots(broker), Slots(broker)
    await one.take(user, replays=False)
    await other.take(user, replays=False)
    with pytest.raises(TooMany):
        await one.take(user, replays=False)
    await one.take(f"{user}2", replays=False)


async def test_a_hundred_at_once_are_not_one_too_many(slots, user, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 8
    results = await asyncio.gather(*(slots.take(user, replays=False) for _ in range(100)), return_exceptions=True)
    assert sum(not isinstance(result, TooMany) for result in results) == 8


async def test_zero_is_no_limit(slots, user, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 0
    settings.EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW = 0
    got, errors = await admitted(slots, user, 50, replays=True)
    assert (len(got), errors) == (50, [])


async def test_refused_replays_take_no_slot_and_count_for_nothing(slots, user, valkey, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 100
    settings.EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW = 3
    settings.EVENTS_REPLAY_BUDGET_WINDOW_SECONDS = 1
    got, errors = await admitted(slots, user, 10, replays=True)
    assert (len(got), len(errors)) == (3, 7)
    assert "Replay budget" in errors[0].message
    assert 0 < errors[0].retry_after <= 1.1
    assert valkey.zcard(f"tl:{{slots:{user}}}") == 3
    assert valkey.zcard(f"tl:{{slots:{user}}}:replays") == 3
    assert len((await admitted(slots, user, 1))[0]) == 1, "without a cursor no budget is needed"
    await asyncio.sleep(errors[-1].retry_after)
    assert len((await admitted(slots, user, 1, replays=True))[0]) == 1


async def test_a_refused_connection_does_not_use_the_replay_budget(slots, user, valkey, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 1
    await admitted(slots, user, 5, replays=True)
    assert valkey.zcard(f"tl:{{slots:{user}}}:replays") == 1


async def test_the_slots_of_a_dead_process_end_by_themselves_and_those_of_a_living_one_do_not(valkey, user, settings):
    settings.SSE_MAX_CONCURRENT_PER_USER = 2
    settings.EVENTS_SLOT_SECONDS = 0.6
    hub = current_hub()
    dead = Slots(hub.broker)
    await dead.take(user, replays=False)
    kept = await hub.slots.take(user, replays=False)
    with pytest.raises(TooMany):
        await dead.take(user, replays=False)
    # Three times the life of a slot that nobody keeps.
    await asyncio.sleep(1.8)
    await Slots(hub.broker).take(user, replays=False)
    assert valkey.zscore(f"tl:{{slots:{user}}}", kept.member) is not None
    await kept.give_back()
    assert valkey.zscore(f"tl:{{slots:{user}}}", kept.member) is None
    await close_hub()


async def test_without_the_broker_nobody_is_admitted_and_giving_back_is_no_error(valkey_proxy, settings, user):
    settings.SSE_KEEPALIVE_SECONDS = 5
    hub = current_hub()
    slot = await hub.slots.take(user, replays=False)
    valkey_proxy.cut()
    with pytest.raises(BrokerUnavailable):
        await hub.slots.take(user, replays=True)
    await slot.give_back()
    await slot.give_back()
    await close_hub()
