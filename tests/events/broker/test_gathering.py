"""Commands of many tasks in few round trips: each gets its own answers, and nobody is forgotten."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.broker.gathering import AT_ONCE, TOGETHER, Gathering
from tests.patience import patiently


class Server:
    """Answers each command with its last word in upper case, when it is let; keeps what travelled together."""

    def __init__(self):
        self.trips = []
        self.open = asyncio.Event()

    async def send(self, commands):
        words = [words[-1] for _, words in commands]
        self.trips.append(words)
        await self.open.wait()
        if "fail" in words:
            raise ConnectionError("gone")
        return [word.upper() for word in words]


def command(word):
    return ("key", ("GET", word))


async def settle():
    """Everything that can go on without an answer has."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def server():
    return Server()


async def busy(gathering):
    """As many round trips as there may be, which wait for the server."""
    tasks = []
    for number in range(AT_ONCE):
        tasks.append(asyncio.create_task(gathering.ask([command(f"busy{number}")])))
        await settle()
    return tasks


async def test_one_alone_is_asked_at_once(server):
    server.open.set()
    assert await Gathering(server.send).ask([command("a"), command("b")]) == ["A", "B"]


async def test_what_is_asked_meanwhile_travels_together_and_each_gets_its_own(server):
    gathering = Gathering(server.send)
    first = await busy(gathering)
    asked = [asyncio.create_task(gathering.ask([command(f"x{number}"), command(f"y{number}")])) for number in range(TOGETHER + 1)]
    await settle()
    assert len(server.trips) == AT_ONCE
    server.open.set()
    assert await asyncio.gather(*asked) == [[f"X{number}", f"Y{number}"] for number in range(TOGETHER + 1)]
    assert await asyncio.gather(*first) == [[f"BUSY{number}"] for number in range(AT_ONCE)]
    assert sorted(map(len, server.trips)) == [1] * AT_ONCE + [2, 2 * TOGETHER]


async def test_a_lost_connection_is_told_to_those_who_were_under_way_on_it_and_to_nobody_else(server):
    gathering = Gathering(server.send)
    first = await busy(gathering)
    failing = [asyncio.create_task(gathering.ask([command(word)])) for word in ("a", "fail", "b")]
    await settle()
    server.open.set()
    assert [type(each) for each in await asyncio.gather(*failing, return_exceptions=True)] == [ConnectionError] * 3
    assert await asyncio.gather(*first) == [[f"BUSY{number}"] for number in range(AT_ONCE)]
    assert await gathering.ask([command("after")]) == ["AFTER"]


async def test_who_gave_up_while_he_waited_has_asked_nothing(server):
    gathering = Gathering(server.send)
    first = await busy(gathering)
    stays, leaves = (asyncio.create_task(gathering.ask([command(word)])) for word in ("stays", "leaves"))
    await settle()
    leaves.cancel()
    await settle()
    server.open.set()
    assert await stays == ["STAYS"]
    await asyncio.gather(*first)
    assert not any("leaves" in trip for trip in server.trips)


async def test_who_gives_up_under_way_takes_the_answer_from_nobody(server):
    gathering = Gathering(server.send)
    first = await busy(gathering)
    stays, leaves = (asyncio.create_task(gathering.ask([command(word)])) for word in ("stays", "leaves"))
    for each in first[:1]:
        each.cancel()
    server.open.set()
    await settle()
    leaves.cancel()
    assert await stays == ["STAYS"]


async def test_who_asks_again_as_soon_as_he_is_answered_is_not_forgotten(server):
    server.open.set()
    gathering = Gathering(server.send)

    async def chat(name):
        return [await gathering.ask([command(f"{name}{number}")]) for number in range(3)]

    async with asyncio.timeout(patiently(5)):
        for told in await asyncio.gather(*(chat(f"c{number}") for number in range(AT_ONCE))):
            assert len(told) == 3


async def test_closing_cancels_those_who_wait(server):
    gathering = Gathering(server.send)
    first = await busy(gathering)
    waits = asyncio.create_task(gathering.ask([command("waits")]))
    await settle()
    gathering.close()
    for each in (*first, waits):
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(patiently(5)):
                await each


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=60))
def test_everyone_is_answered_whenever_he_comes(arrivals):
    """`arrivals`: how many turns of the loop pass before each asks, and how many a round trip takes."""

    async def scenario():
        delays = iter([turns for _, turns in arrivals])

        async def send(commands):
            for _ in range(next(delays, 0)):
                await asyncio.sleep(0)
            return [words[-1].upper() for _, words in commands]

        gathering, asked = Gathering(send), []
        for number, (turns, _) in enumerate(arrivals):
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.append(asyncio.create_task(gathering.ask([command(f"w{number}")])))
        async with asyncio.timeout(patiently(5)):
            assert await asyncio.gather(*asked) == [[f"W{number}"] for number in range(len(arrivals))]

    asyncio.run(scenario())
