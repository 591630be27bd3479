"""kill -9 at every step of an approval: it is never lost, what was approved is never done twice, and the answer ends."""

import asyncio
import random

import httpx
import psycopg

from tests.live.approvals.conftest import call, decide, open_of, over, waiting
from tests.live.approvals.counting import CountingServer
from tests.live.conftest import Client, measured
from tests.live.processes import Stack, eventually

DONE = '"body":"done"'


def status_of(stack: Stack, message_id: str) -> str:
    return str(stack.run(message_id)["status"])


async def test_everything_dies_while_it_waits_and_the_decision_comes_later(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, {"text": "So."}, call(counting.url("later")))
    async with alice.reader(message_id, at=1) as reader:
        await reader.until(lambda seen: any(frame.data["type"] == "tool_calls_pending" for frame in seen.frames), within=10)
        for process in (*stack.living_workers, *stack.webs):
            process.kill()
        await stack.kill_broker()
        await stack.crash_postgres()
        await stack.start_broker()
        await stack.start_postgres()
        stack.heal()
        assert [each["id"] for each in await open_of(alice, message_id)] == [approval["id"]]
        assert await decide(alice, approval) == 200
        await reader.until(lambda seen: seen.over, within=30)
    assert reader.text.startswith("So.\n\nThen: ")
    assert DONE in reader.text
    assert counting.counts["later"] == 1
    kinds = [kind for _, kind, _ in stack.journal(message_id)]
    assert kinds.count("approval.decided") == kinds.count("tool.result") == kinds.count("run.completed") == 1


async def test_there_is_no_worker_when_it_is_decided(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("nobody")))
    stack.living_workers[0].kill()
    assert await decide(alice, approval, at=1) == 200
    assert status_of(stack, message_id) == "queued"
    stack.start_worker()
    tail = await over(alice, message_id)
    assert (tail["status"], counting.counts["nobody"]) == ("completed", 1)


async def test_the_worker_dies_between_decision_and_deed(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("between")))
    with psycopg.connect(stack.postgres.url) as connection:
        # The worker claims the run, and gets no further.
        connection.execute("LOCK TABLE plugins_execution IN ACCESS EXCLUSIVE MODE")
        assert await decide(alice, approval) == 200
        await eventually(lambda: status_of(stack, message_id) == "running", within=10, what="the claim")
        stack.living_workers[0].kill()
    assert counting.counts["between"] == 0
    stack.start_worker()
    tail = await over(alice, message_id)
    assert (tail["status"], counting.counts["between"]) == ("completed", 1)
    assert DONE in tail["response"]


async def test_the_worker_dies_in_the_middle_of_the_deed(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("middle")))
    counting.hold()
    assert await decide(alice, approval) == 200
    await eventually(lambda: counting.counts["middle"], within=10, what="the deed")
    began = asyncio.get_running_loop().time()
    stack.living_workers[0].kill()
    stack.start_worker()
    tail = await over(alice, message_id)
    measured("worker death in a tool -> end", asyncio.get_running_loop().time() - began)
    # Nobody knows whether it was done: it is not done again, and the model is told so.
    assert tail["status"] == "completed"
    assert "may or may not have happened" in tail["response"]
    assert counting.counts["middle"] == 1


async def test_the_worker_dies_when_it_is_done_and_not_yet_written_down(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("after")))
    counting.hold()
    assert await decide(alice, approval) == 200
    await eventually(lambda: counting.counts["after"], within=10, what="the deed")
    with psycopg.connect(stack.postgres.url) as connection:
        connection.execute("LOCK TABLE plugins_execution IN ACCESS EXCLUSIVE MODE")
        counting.let_go()
        waits = (
            "SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE relname = 'plugins_execution' AND NOT granted"
        )
        await eventually(lambda: stack.query(waits), within=10, what="the worker to want to write")
        stack.living_workers[0].kill()
    stack.start_worker()
    tail = await over(alice, message_id)
    assert tail["status"] == "completed"
    assert counting.counts["after"] == 1


async def test_the_worker_dies_when_all_is_written_down(stack: Stack, alice: Client, counting: CountingServer):
    message_id = await alice.ask([call(counting.url("end")), {"results": True}, {"hang": True}], application_id="app_demo")
    (approval,) = await eventually(lambda: open_of(alice, message_id), within=15, what="the approval")
    assert await decide(alice, approval) == 200
    kinds = [kind for _, kind, _ in stack.journal(message_id)]
    await eventually(lambda: "tool.result" in [kind for _, kind, _ in stack.journal(message_id)], within=10, what="the result")
    stack.living_workers[0].kill()
    stack.start_worker()

    def claimed_again() -> bool:
        run = stack.run(message_id)
        return run["status"] == "running" and "(dead)" not in run["worker"] and run["lease"] >= 5

    await eventually(claimed_again, within=30, what="another worker")
    assert (await alice.stop(message_id)).status_code == 202
    assert (await over(alice, message_id))["status"] == "cancelled"
    kinds = [kind for _, kind, _ in stack.journal(message_id)]
    assert (kinds.count("tool.result"), kinds[-1]) == (1, "run.cancelled")
    assert counting.counts["end"] == 1


async def test_the_web_process_dies_in_the_middle_of_a_decision(stack: Stack, alice: Client, counting: CountingServer):
    message_id, (approval,) = await waiting(alice, call(counting.url("web")))
    with psycopg.connect(stack.postgres.url) as connection:
        connection.execute("SELECT 1 FROM chat_approval WHERE id = %s FOR UPDATE", [approval["id"]])
        deciding = asyncio.create_task(decide(alice, approval))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%chat_approval%%'"
        await eventually(lambda: stack.query(waits), within=10, what="the decision to be in the database")
        stack.webs[0].kill()
        (result,) = await asyncio.gather(deciding, return_exceptions=True)
        assert isinstance(result, httpx.TransportError)
        # Its transaction is gone with it.
        stack.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    assert [each["status"] for each in await open_of(alice, message_id, at=1)] == ["pending"]
    assert await decide(alice, approval, at=1) == 200
    tail = await over(alice, message_id, at=1)
    assert (tail["status"], counting.counts["web"]) == ("completed", 1)


async def test_many_approvals_while_workers_and_webs_die_at_random(stack: Stack, alice: Client, counting: CountingServer):
    rng = random.Random(5)
    stack.start_worker()
    waits = [await waiting(alice, call(counting.url(f"many{number}"))) for number in range(12)]
    stop = asyncio.Event()

    async def kill_now_and_then() -> None:
        while not stop.is_set():
            await asyncio.sleep(rng.uniform(0.2, 1.0))
            rng.choice(stack.living_workers).kill()
            stack.start_worker()
            await asyncio.sleep(2)

    async def decide_until_it_is_heard(approval: dict) -> None:
        async def heard() -> bool:
            try:
                return await decide(alice, approval, at=rng.randrange(2)) == 200
            except httpx.TransportError:
                return False

        await eventually(heard, within=20, what="a decision")

    killing = asyncio.create_task(kill_now_and_then())
    for _, (approval,) in waits:
        await decide_until_it_is_heard(approval)
        await asyncio.sleep(rng.uniform(0.05, 0.5))
    stop.set()
    await killing
    tails = [await over(alice, message_id, within=60) for message_id, _ in waits]
    assert {tail["status"] for tail in tails} <= {"completed", "failed"}
    for number, tail in enumerate(tails):
        done = counting.counts[f"many{number}"]
        (told,) = tail["tool_calls"]
        # Done once; or it was never begun, and that is known, because the engine was told.
        assert done == 1 or (done == 0 and told["status"] == "error"), (number, done, tail)
    assert await open_of(alice, waits[0][0]) == []
