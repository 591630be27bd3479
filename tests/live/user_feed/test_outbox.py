"""Events that belong to a change of the database are published if it is committed, and only then, once."""

import asyncio
import signal
import sys

from tests.live.processes import PROJECT, Stack, eventually
from tests.live.user_feed.wire import Connection, Person, Publisher

SWEEP_SECONDS = 2.0


async def change(stack: Stack, person: Person, number: int, how: str) -> int:
    """Runs `changes.py`; its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.live.user_feed.changes", person.id, str(number), how),
        env=stack.environment,
        cwd=PROJECT,
    )
    return await process.wait()


def stored(stack: Stack, person: Person) -> str:
    """The change that was committed last."""
    return stack.query("SELECT last_name FROM accounts_user WHERE public_id = %s", person.id)[0][0]


def waiting(stack: Stack, person: Person) -> int:
    """How many events of a user are in the outbox."""
    return stack.query("SELECT count(*) FROM events_outboxevent WHERE stream = %s", f"user:{person.id}")[0][0]


async def nothing_more(stack: Stack, person: Person, publisher: Publisher, connection: Connection) -> None:
    """Returns when the outbox has been swept, and whatever was sent has arrived."""
    await eventually(lambda: waiting(stack, person) == 0, within=3 * SWEEP_SECONDS, what="the outbox to be empty")
    await asyncio.sleep(1.5 * SWEEP_SECONDS)
    [last] = await publisher.publish(person)
    await connection.until(lambda seen: seen.frames[-1].id == last)


async def test_what_is_rolled_back_is_never_told_and_what_is_committed_is(stack: Stack, person: Person, publisher: Publisher):
    async with Connection(stack.addresses[0], person.token) as connection:
        assert await change(stack, person, 1001, "rollback") == 0
        assert await change(stack, person, 1002, "commit") == 0
        assert await change(stack, person, 1003, "rollback") == 0
        await nothing_more(stack, person, publisher, connection)
    assert connection.numbers[:-1] == [1002]
    assert connection.types[:-1] == ["resource.shared"]
    assert stored(stack, person) == "1002"


async def test_a_process_killed_between_commit_and_sending_loses_no_event(stack: Stack, person: Person, publisher: Publisher):
    async with Connection(stack.addresses[1], person.token) as connection:
        assert await change(stack, person, 1001, "die_after_commit") == -signal.SIGKILL
        assert stored(stack, person) == "1001"
        await connection.until(lambda seen: seen.frames, within=3 * SWEEP_SECONDS)
        await nothing_more(stack, person, publisher, connection)
    assert connection.numbers[:-1] == [1001]


async def test_a_process_killed_after_sending_does_not_tell_twice(stack: Stack, person: Person, publisher: Publisher):
    async with Connection(stack.addresses[1], person.token) as connection:
        assert await change(stack, person, 1001, "die_after_sending") == -signal.SIGKILL
        await connection.until(lambda seen: seen.frames, within=3 * SWEEP_SECONDS)
        await nothing_more(stack, person, publisher, connection)
    assert connection.numbers[:-1] == [1001]


async def test_what_is_committed_while_the_broker_is_away_is_told_when_it_is_back(
    stack: Stack, person: Person, publisher: Publisher
):
    async with Connection(stack.addresses[0], person.token) as connection:
        await stack.kill_broker()
        assert await change(stack, person, 1001, "commit") == 0
        assert waiting(stack, person) == 1
        await stack.start_broker()
        await connection.until(lambda seen: 1001 in seen.numbers, within=15)
        await nothing_more(stack, person, publisher, connection)
    assert connection.numbers.count(1001) == 1
