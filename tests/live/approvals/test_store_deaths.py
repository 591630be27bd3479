"""kill -9 of a store, started again, at every step of an approval: not lost, not done twice, and the answer ends.

A Valkey comes back empty, a Postgres with what was committed; see test_deaths.py for the processes around them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.live.approvals.conftest import call, decide, open_of, over, waiting
from tests.live.approvals.counting import CountingServer
from tests.live.approvals.test_deaths import DONE, status_of
from tests.live.conftest import Client
from tests.live.processes import Stack, eventually
from tests.live.readers import is_terminal

Breaking = Callable[[Stack], Awaitable[None]]


@dataclass(frozen=True)
class Store:
    """What is killed, and how it is started again."""

    name: str
    kill: Breaking
    start: Breaking

    async def dies(self, stack: Stack) -> None:
        await self.kill(stack)
        await self.start(stack)


BROKER = Store("broker", Stack.kill_broker, Stack.start_broker)
POSTGRES = Store("postgres", Stack.kill_postgres, Stack.start_postgres)

each_store = pytest.mark.parametrize("store", [BROKER, POSTGRES], ids=lambda store: store.name)


@contextlib.contextmanager
def executions_locked(stack: Stack) -> Iterator[None]:
    """No call of a tool can begin or end. A Postgres that dies lets go by itself."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(stack.postgres.url) as connection:
        connection.execute("LOCK TABLE plugins_execution IN ACCESS EXCLUSIVE MODE")
        yield


async def check_done_once(stack: Stack, alice: Client, counting: CountingServer, message_id: str, name: str) -> None:
    """That a run has ended well, its tool was called once, and all of it was said once, to old readers and to new ones."""
    tail = await over(alice, message_id)
    assert tail["status"] == "completed", tail
    assert DONE in tail["response"]
    assert counting.counts[name] == 1
    rows = stack.journal(message_id)
    assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
    kinds = [kind for _, kind, _ in rows]
    once = ("approval.requested", "approval.decided", "tool.result", "run.completed")
    assert [kinds.count(kind) for kind in once] == [1, 1, 1, 1], kinds
    assert kinds[-1] == "run.completed"
    assert await open_of(alice, message_id) == []
    async with alice.reader(message_id, at=1) as reader:
        await reader.until(lambda seen: seen.over, within=10)
    assert reader.text == tail["response"]


@each_store
async def test_a_store_dies_in_the_middle_of_a_decision(stack: Stack, alice: Client, counting: CountingServer, store: Store):
    message_id, (approval,) = await waiting(alice, call(counting.url(f"deciding-{store.name}")))
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(stack.postgres.url) as connection:
        connection.execute("SELECT 1 FROM chat_approval WHERE id = %s FOR UPDATE", [approval["id"]])
        deciding = asyncio.create_task(decide(alice, approval))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%chat_approval%%'"
        await eventually(lambda: stack.query(waits), within=10, what="the decision to be in the database")
        await store.kill(stack)
    if store is BROKER:
        # Decided without it: that is in the database.
        assert await deciding == 200
        await store.start(stack)
    else:
        await store.start(stack)
        assert await deciding == 503
        assert [each["status"] for each in await open_of(alice, message_id)] == ["pending"]
        assert await decide(alice, approval) == 200
    await check_done_once(stack, alice, counting, message_id, f"deciding-{store.name}")


@each_store
async def test_a_store_dies_between_decision_and_deed(stack: Stack, alice: Client, counting: CountingServer, store: Store):
    name = f"between-{store.name}"
    message_id, (approval,) = await waiting(alice, {"text": "So."}, call(counting.url(name)))
    async with alice.reader(message_id) as reader:
        with executions_locked(stack):
            assert await decide(alice, approval) == 200
            await eventually(lambda: status_of(stack, message_id) == "running", within=10, what="the claim")
            assert counting.counts[name] == 0
            await store.dies(stack)
        await reader.until(lambda seen: seen.over, within=30)
    await check_done_once(stack, alice, counting, message_id, name)
    assert reader.text == (await alice.tail(message_id))["response"]
    assert [int(each) for each in reader.ids] == sorted({int(each) for each in reader.ids})


async def test_both_stores_die_after_the_decision_and_before_any_worker_hears_of_it(
    stack: Stack, alice: Client, counting: CountingServer
):
    message_id, (approval,) = await waiting(alice, call(counting.url("queued")))
    stack.living_workers[0].kill()
    assert await decide(alice, approval) == 200
    for store in (BROKER, POSTGRES):
        await store.dies(stack)
    assert status_of(stack, message_id) == "queued"
    stack.start_worker()
    await check_done_once(stack, alice, counting, message_id, "queued")


@each_store
async def test_a_store_dies_in_the_middle_of_the_deed(stack: Stack, alice: Client, counting: CountingServer, store: Store):
    name = f"middle-{store.name}"
    message_id, (approval,) = await waiting(alice, call(counting.url(name)))
    counting.hold()
    assert await decide(alice, approval) == 200
    await eventually(lambda: counting.counts[name], within=10, what="the deed")
    await store.kill(stack)
    # It is done while nobody can write that down.
    counting.let_go()
    await store.start(stack)
    await check_done_once(stack, alice, counting, message_id, name)


@each_store
async def test_a_store_dies_after_the_deed_while_the_engine_writes_on(
    stack: Stack, alice: Client, counting: CountingServer, store: Store
):
    name = f"after-{store.name}"
    script = [call(counting.url(name)), {"results": True}, {"result": 1}, {"tokens": 60, "per_second": 20}]
    message_id = await alice.ask(script, application_id="app_demo")
    (approval,) = await eventually(lambda: open_of(alice, message_id), within=15, what="the approval")
    async with alice.reader(message_id) as reader:
        assert await decide(alice, approval) == 200
        await reader.until(lambda seen: "w3 " in seen.text, within=15)
        await store.dies(stack)
        await reader.until(lambda seen: seen.over, within=30)
    await check_done_once(stack, alice, counting, message_id, name)
    assert reader.text == (await alice.tail(message_id))["response"]
    assert len([frame for frame in reader.frames if is_terminal(frame)]) == 1


@each_store
async def test_a_store_dies_when_all_is_over(stack: Stack, alice: Client, counting: CountingServer, store: Store):
    name = f"over-{store.name}"
    message_id, (approval,) = await waiting(alice, call(counting.url(name)))
    assert await decide(alice, approval) == 200
    await over(alice, message_id)
    await store.dies(stack)
    stack.wait_ready()
    # The same again is no error, and does nothing.
    assert await decide(alice, approval) == 200
    assert await decide(alice, approval, approved=False) == 409
    await check_done_once(stack, alice, counting, message_id, name)


async def test_everything_dies_in_the_middle_of_the_deed(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("everything")))
    counting.hold()
    assert await decide(alice, approval) == 200
    await eventually(lambda: counting.counts["everything"], within=10, what="the deed")
    for process in (*stack.living_workers, *stack.webs):
        process.kill()
    for store in (BROKER, POSTGRES):
        await store.kill(stack)
    counting.let_go()
    for store in (BROKER, POSTGRES):
        await store.start(stack)
    stack.heal()
    tail = await over(alice, message_id)
    # Whoever knew what came of it is gone: it is not done again, and the model is told so.
    assert tail["status"] == "completed"
    assert "may or may not have happened" in tail["response"]
    assert counting.counts["everything"] == 1
