import asyncio
import uuid

import pytest

from events.exceptions import BrokerUnavailable
from events.hub import Hub
from events.presence import PER_LEASE, Presence
from tests.events.conftest import until

LEASE = 1.0


@pytest.fixture(autouse=True)
def _quick(settings, monkeypatch):
    settings.PRESENCE_SECONDS = LEASE
    monkeypatch.setattr("events.presence.RETRY_SECONDS", 0.1)


@pytest.fixture
def place():
    return f"workspace:{uuid.uuid4().hex}"


@pytest.fixture
def told(monkeypatch):
    """What was announced: (left or returned, place, user)."""
    heard = []

    def hearer(what):
        async def hear(place, user_id):
            heard.append((what, place, user_id))

        return hear

    monkeypatch.setitem(Presence._left, "workspace", hearer("left"))
    monkeypatch.setitem(Presence._returned, "workspace", hearer("returned"))
    return heard


@pytest.fixture
async def processes(valkey):
    """Makes presences as separate processes have them."""
    hubs = []

    def make():
        hubs.append(Hub())
        return hubs[-1].part(Presence)

    yield make
    for hub in hubs:
        await hub.close()


def kill(presence):
    """As SIGKILL does it: nobody says goodbye."""
    for task in presence._tasks:
        task.cancel()
    presence._held.clear()
    presence._owed.clear()


async def join(presence, place, user, number=1):
    return await presence.join(place=place, user_id=user, connection_id=f"{user}-{number}")


async def leave(presence, place, user, number=1):
    return await presence.leave(place=place, user_id=user, connection_id=f"{user}-{number}")


def leftovers(valkey):
    """Keys of presence, except the one that says since when the broker remembers."""
    return [key for key in valkey.keys("tl:{presence}:*") if not key.endswith((b":epoch", b":settling"))]


async def test_a_user_comes_with_the_first_connection_and_goes_with_the_last(processes, place, valkey):
    one, other = processes(), processes()
    assert (await join(one, place, "ann")).first
    assert not (await join(other, place, "ann", 2)).first
    found = await join(other, place, "bob")
    assert (found.first, found.here, found.count) == (True, ["ann", "bob"], 2)
    assert await one.here(place) == ["ann", "bob"]
    assert not await leave(one, place, "ann")
    assert await leave(other, place, "ann", 2)
    assert await one.here(place) == ["bob"]
    assert await leave(other, place, "bob")
    assert leftovers(valkey) == []


async def test_places_are_apart_and_leaving_twice_or_without_having_joined_is_nothing(processes, place):
    presence = processes()
    await join(presence, place, "ann")
    assert (await join(presence, f"{place}2", "ann")).first
    assert not await leave(presence, place, "bob")
    assert await leave(presence, place, "ann")
    assert not await leave(presence, place, "ann")
    assert await presence.here(f"{place}2") == ["ann"]


async def test_ids_of_users_may_have_any_characters(processes, place):
    presence = processes()
    for user in ("a b  c", "äö %s", "x\ny", ""):
        assert (await presence.join(place=place, user_id=user, connection_id="c1")).first
        assert user in await presence.here(place)
        assert await presence.leave(place=place, user_id=user, connection_id="c1")
    assert await presence.here(place) == []


async def test_of_a_hundred_connections_at_once_one_is_the_first_and_one_the_last(processes, place, valkey):
    both = [processes(), processes()]
    joined = await asyncio.gather(*(join(both[n % 2], place, "ann", n) for n in range(100)))
    assert sum(each.first for each in joined) == 1
    left = await asyncio.gather(*(leave(both[n % 2], place, "ann", n) for n in range(100)))
    assert sum(left) == 1
    assert leftovers(valkey) == []


async def test_a_huge_place_is_counted_and_named_in_part(processes, place, settings):
    settings.PRESENCE_HERE_MAX = 10
    presence = processes()
    await asyncio.gather(*(join(presence, place, f"user{n}") for n in range(1200)))
    found = await presence.look(place)
    assert (found.count, len(found.user_ids)) == (1200, 10)
    # More than one script handles them: their leases last all the same.
    await asyncio.sleep(LEASE * 1.5)
    assert (await presence.look(place)).count == 1200


async def test_leases_last_as_long_as_their_process(processes, place, told):
    one, other = processes(), processes()
    await join(one, place, "ann")
    await join(other, place, "bob")
    await asyncio.sleep(LEASE * 2.5)
    assert await one.here(place) == ["ann", "bob"]
    assert told == []


async def test_who_was_in_a_killed_process_is_said_to_have_left_exactly_once(processes, place, told, valkey):
    dead, *living = (processes() for _ in range(4))
    users = [f"user{n}" for n in range(30)]
    await asyncio.gather(*(join(dead, place, user) for user in users))
    await join(living[0], place, "user0", 2)
    kill(dead)
    await until(lambda: len(told) >= 29, seconds=LEASE + 3 * LEASE / PER_LEASE + 2)
    await asyncio.sleep(LEASE)
    assert sorted(told) == sorted(("left", place, user) for user in users[1:])
    assert await living[1].here(place) == ["user0"]
    assert await leave(living[0], place, "user0", 2)
    assert leftovers(valkey) == []


async def test_one_that_comes_back_before_the_dead_lease_is_noticed_was_never_away(processes, place, told):
    dead, living = processes(), processes()
    await join(dead, place, "ann")
    kill(dead)
    assert not (await join(living, place, "ann", 2)).first
    await asyncio.sleep(LEASE * 2)
    assert told == []
    assert await leave(living, place, "ann", 2)


async def test_one_whose_process_was_cut_off_for_long_is_said_to_be_back(processes, place, told, monkeypatch):
    cut, other = processes(), processes()
    await join(cut, place, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(cut._broker, "hold", unreachable)
        await until(lambda: told == [("left", place, "ann")], seconds=LEASE * 3)
        assert await other.here(place) == []
    await until(lambda: told[1:] == [("returned", place, "ann")], seconds=LEASE * 3)
    assert await other.here(place) == ["ann"]
    assert await leave(cut, place, "ann")


async def unreachable(*_, **__):
    raise BrokerUnavailable


async def test_a_wiped_broker_is_told_again_and_nobody_is_announced(processes, place, told, valkey):
    one, other = processes(), processes()
    await join(one, place, "ann")
    await join(other, place, "ann", 2)
    await join(other, place, "bob")
    valkey.flushall()
    await until(lambda: valkey.zcard(f"tl:{{presence}}:leases:{place}") == 3, seconds=LEASE)
    await asyncio.sleep(LEASE * 1.5)
    assert told == []
    assert not await leave(one, place, "ann")
    assert await leave(other, place, "ann", 2)


async def test_who_leaves_just_after_a_wipe_is_announced_only_if_no_other_process_still_has_him(processes, place, told, valkey):
    one, other = processes(), processes()
    for user in ("ann", "bob"):
        await join(one, place, user)
    await join(other, place, "ann", 2)
    valkey.flushall()
    # Nobody knows yet that ann is still in the other process.
    assert [await leave(one, place, user) for user in ("ann", "bob")] == [False, False]
    await until(lambda: told == [("left", place, "bob")], seconds=LEASE * 4)
    await asyncio.sleep(LEASE)
    assert told == [("left", place, "bob")]
    assert await other.here(place) == ["ann"]


async def test_one_more_connection_after_a_wipe_is_not_the_users_first(processes, place, valkey):
    presence = processes()
    await join(presence, place, "ann")
    valkey.flushall()
    assert not (await join(presence, place, "ann", 2)).first


async def test_without_the_broker_nobody_joins_and_who_leaves_is_announced_afterwards(
    valkey_proxy, processes, place, told, valkey, settings
):
    settings.PRESENCE_SECONDS = 20.0
    presence = processes()
    await join(presence, place, "ann")
    await join(presence, place, "bob")
    valkey_proxy.cut()
    with pytest.raises(BrokerUnavailable):
        await join(presence, place, "carl")
    assert not await leave(presence, place, "ann")
    await asyncio.sleep(0.3)
    valkey_proxy.restore()
    # Well before her lease would have run out.
    await until(lambda: told == [("left", place, "ann")], seconds=8)
    assert await presence.here(place) == ["bob"]
    assert await leave(presence, place, "bob")
    assert leftovers(valkey) == []
    assert presence._owed == set()


async def test_after_an_outage_longer_than_the_leases_nobody_is_said_to_have_left(
    valkey_proxy, processes, place, told, monkeypatch
):
    one, other = processes(), processes()
    await join(one, place, "ann")
    await join(other, place, "bob")
    valkey_proxy.cut()
    hold = other._broker.hold

    async def hold_later(entries, **options):
        await asyncio.sleep(LEASE / PER_LEASE / 2)
        return await hold(entries, **options)

    # The other one comes back a little after this one, which must not take it for dead.
    monkeypatch.setattr(other._broker, "hold", hold_later)
    await asyncio.sleep(LEASE * 2)
    valkey_proxy.restore()
    await until(lambda: one._held and one._settled.is_set())
    await asyncio.sleep(LEASE * 1.5)
    assert told == []
    assert await other.here(place) == ["ann", "bob"]


async def test_who_leaves_while_leases_are_refreshed_is_not_put_back(processes, place, valkey, monkeypatch):
    presence = processes()
    await join(presence, place, "ann")
    hold, held = presence._broker.hold, []

    async def hold_later(entries, **options):
        held.append(entries)
        await asyncio.sleep(0.1)
        return await hold(entries, **options)

    monkeypatch.setattr(presence._broker, "hold", hold_later)
    await until(lambda: held and held[-1] and not presence._settled.is_set())
    assert await leave(presence, place, "ann")
    assert presence._settled.is_set()
    assert leftovers(valkey) == []


async def test_a_join_that_was_given_up_leaves_nothing_behind(processes, place, valkey, told):
    presence = processes()
    for n in range(20):
        joining = asyncio.create_task(join(presence, place, "ann", n))
        for _ in range(n):
            await asyncio.sleep(0)
        joining.cancel()
        result = (await asyncio.gather(joining, return_exceptions=True))[0]
        if not isinstance(result, BaseException):
            await leave(presence, place, "ann", n)
    await until(lambda: not presence._owed, seconds=LEASE * 2)
    await until(lambda: leftovers(valkey) == [], seconds=LEASE * 2)


async def test_a_process_that_stops_leaves_everywhere_and_says_so(processes, place, told, valkey):
    hub = Hub()
    presence = hub.part(Presence)
    await join(presence, place, "ann")
    await hub.close()
    assert told == [("left", place, "ann")]
    assert leftovers(valkey) == []


async def test_an_announcement_that_fails_or_takes_long_holds_up_nothing(processes, place, monkeypatch):
    heard = []

    async def fail(place, user_id):
        heard.append(user_id)
        await asyncio.sleep(LEASE)
        raise RuntimeError("on purpose")

    monkeypatch.setitem(Presence._left, "workspace", fail)
    dead, living = processes(), processes()
    await join(living, place, "zoe")
    for n in range(3):
        await join(dead, place, f"user{n}")
    kill(dead)
    await until(lambda: len(heard) == 3, seconds=LEASE * 7)
    assert await living.here(place) == ["zoe"]
