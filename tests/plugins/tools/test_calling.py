"""Calling tools: never twice, never an exception, always recorded."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.verification import caller_of_user
from events import journal
from events.event import START
from events.exceptions import LeaseLost
from plugins.executions import execution_stream
from plugins.models import BUILT_IN, Execution
from plugins.tools import calling, claims
from plugins.tools.calling import call
from plugins.tools.claims import Call, Place
from plugins.tools.registry import ToolError, tools
from tests.plugins.tools.conftest import new_key


def told(execution_id):
    return [(event.type.removeprefix("execution."), event.data) for event in journal.read(execution_stream(execution_id), START)]


def test_a_call_is_done_and_recorded(called, caller):
    result = called("calculator", {"expression": "6 * 7"})
    assert (result.ok, result.content, result.error) == (True, {"result": 42}, "")
    execution = Execution.objects.get(pk=result.execution_id)
    assert execution.plugin_id == BUILT_IN
    assert (execution.owner_id, execution.tool_name, execution.status) == (caller.pk, "calculator", "completed")
    assert (execution.input, execution.result) == ({"expression": "6 * 7"}, {"result": 42})
    assert (execution.run_id, execution.call_id) == ("run-1", "c1")
    assert told(result.execution_id) == [("complete", {"result": {"result": 42}})]


def test_what_it_was_told_wrong_is_said_so_that_the_model_can_do_better(called):
    result = called("calculator", {"expresion": "1"})
    assert not result.ok
    assert "'expression' is a required property" in result.error
    assert Execution.objects.get(pk=result.execution_id).status == "failed"
    result = called("calculate")
    assert "calculate" in result.error
    assert "calculator" in result.error
    assert result.execution_id == ""


def test_a_tool_that_fails_is_a_result(called, counter):
    async def raise_it(arguments, context):
        raise {"": ZeroDivisionError(), "tool": ToolError("No such city."), "json": ToolError("")}[arguments.get("what", "")]

    counter.doing, counter.idempotent = raise_it, True
    assert called("count").error == "count failed unexpectedly; the reason is in the server's log."
    assert called("count", {"what": "tool"}).error == "No such city."
    assert called("count", {"what": "json"}).error == "It failed."


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError()])
def test_what_may_not_be_repeated_and_fails_unexpectedly_is_unknown(called, counter, error):
    """A tool may cancel what it waits for; the one who called it was not stopped by that."""

    async def raise_it(arguments, context):
        raise error

    counter.doing = raise_it
    result = called("count")
    assert "may or may not have happened" in result.error
    assert Execution.objects.get(pk=result.execution_id).status == "unknown"


def test_a_result_that_cannot_be_shown_says_that_the_deed_was_done(called, counter):
    async def much(arguments, context):
        return "x" * 70_000

    counter.doing = much
    assert "It was done, though" in called("count").error
    counter.idempotent = True
    assert "Ask for less" in called("count").error


@pytest.mark.parametrize("content", [object(), float("nan"), {1, 2}, "x" * 70_000])
def test_a_result_that_no_run_can_use_is_an_error(called, counter, content):
    async def give(arguments, context):
        return content

    counter.doing = give
    result = called("count")
    assert not result.ok
    assert result.error


def test_a_call_that_takes_too_long_is_stopped_and_its_outcome_is_unknown(called, counter, settings):
    async def wait(arguments, context):
        await asyncio.Event().wait()

    counter.doing = wait
    settings.PLUGINS_TOOL_SECONDS = 0.1
    key = new_key()
    result = called("count", key=key)
    assert "longer than 0.1 s" in result.error
    assert Execution.objects.get(pk=result.execution_id).status == "unknown"
    assert called("count", key=key) == result
    assert counter.count() == 1


def test_the_same_key_is_not_done_twice(called, counter):
    key = new_key()
    results = {(each.content["done"], each.execution_id) for each in (called("count", {"what": "a"}, key=key) for _ in range(3))}
    assert len(results) == 1
    assert counter.count() == 1
    assert called("count", {"what": "b"}, key=key).error == claims.OTHER_CALL
    called("count", {"what": "b"}, key=new_key())
    assert counter.count() == 2


def test_many_at_once_with_one_key_do_it_once(caller, counter):
    async def slowly(arguments, context):
        await asyncio.sleep(0.2)
        return {"done": 1}

    counter.doing = slowly
    key = new_key()

    async def all_at_once():
        one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": key}
        return await asyncio.gather(*(call(**one) for _ in range(8)))

    results = asyncio.run(all_at_once())
    assert len({each.execution_id for each in results}) == 1
    assert all(each.ok for each in results)
    assert counter.count() == 1


def test_a_key_is_its_users_own(called, people, counter):
    key = new_key()
    called("count", key=key)
    called("count", key=key, as_=caller_of_user(people["bob"].pk))
    assert counter.count() == 2


def claimed_by_the_dead(caller, key, *, silent=True):
    """A call that a process began and did not end."""
    wanted = Call(tools()["count"], {}, caller, "run-1", "c1", key)
    claim = claims.claim(call=wanted, holder=uuid.uuid4())
    assert claim.place is Place.OURS
    if silent:
        Execution.objects.filter(pk=claim.execution_id).update(held_until=timezone.now() - timedelta(seconds=1))
    return claim.execution_id


def test_after_a_crash_what_may_not_be_repeated_is_unknown_and_says_so(called, caller, counter):
    key = new_key()
    execution_id = claimed_by_the_dead(caller, key)
    for _ in range(2):
        result = called("count", key=key)
        assert not result.ok
        assert "may or may not have happened" in result.error
    assert counter.count() == 0
    assert Execution.objects.get(pk=execution_id).status == "unknown"
    assert told(execution_id)[-1] == ("error", {"error": claims.UNKNOWN, "unknown": True})


def test_after_a_crash_what_may_be_repeated_is_done_again(called, caller, counter):
    counter.idempotent = True
    key = new_key()
    execution_id = claimed_by_the_dead(caller, key)
    result = called("count", key=key)
    assert (result.ok, result.execution_id) == (True, str(execution_id))
    assert counter.count() == 1


def test_one_who_only_seemed_dead_changes_nothing_any_more(called, caller, counter):
    counter.idempotent = True
    key = new_key()
    wanted = Call(tools()["count"], {}, caller, "run-1", "c1", key)
    holder = uuid.uuid4()
    execution_id = claims.claim(call=wanted, holder=holder).execution_id
    Execution.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    called("count", key=key)
    assert not claims.keep(execution_id=execution_id, holder=holder)
    late = claims.settle(execution_id=execution_id, holder=holder, content={"late": True})
    assert late.content == {"done": ""}
    assert Execution.objects.get(pk=execution_id).content == {"done": ""}


def test_a_call_that_is_being_made_is_waited_for(caller, counter):
    key = new_key()
    execution_id = claimed_by_the_dead(caller, key, silent=False)
    holder = Execution.objects.get(pk=execution_id).holder

    async def wait_for_it():
        one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": key}
        waiting = asyncio.create_task(call(**one))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        await asyncio.to_thread(claims.settle, execution_id=execution_id, holder=holder, content={"done": "elsewhere"})
        return await waiting

    assert asyncio.run(wait_for_it()).content == {"done": "elsewhere"}
    assert counter.count() == 0


def test_a_long_call_keeps_its_lease(caller, counter, settings):
    settings.PLUGINS_CALL_LEASE_SECONDS = 0.5

    async def slowly(arguments, context):
        await asyncio.sleep(1.5)
        return {"done": 1}

    counter.doing = slowly
    key = new_key()

    async def twice():
        one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": key}
        first = asyncio.create_task(call(**one))
        await asyncio.sleep(0.2)
        return await asyncio.gather(first, call(**one))

    first, second = asyncio.run(twice())
    assert first == second
    assert first.ok
    assert counter.count() == 1


def test_a_lease_that_could_not_be_kept_is_kept_as_soon_as_the_database_is_back(caller, counter, settings, monkeypatch):
    settings.PLUGINS_CALL_LEASE_SECONDS, settings.PLUGINS_TOOL_SECONDS = 3.0, 20.0
    monkeypatch.setattr(calling, "RETRY_SECONDS", 0.01)
    keep, away = claims.keep, iter(range(30))
    kept = threading.Event()

    def keep_later(**given):
        if next(away, None) is not None:
            raise OperationalError("the database is away")
        assert keep(**given)
        kept.set()
        return True

    async def until_kept(arguments, context):
        # Were each try a third of a lease after the last, this would take longer than a tool may.
        while not kept.is_set():  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.02)
        return "kept"

    monkeypatch.setattr(claims, "keep", keep_later)
    counter.doing = until_kept
    one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": new_key()}
    assert asyncio.run(call(**one)).content == "kept"


def test_a_call_that_is_not_permitted_any_more_is_not_begun(caller, counter):
    def refuse():
        raise LeaseLost

    one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": new_key()}
    with pytest.raises(LeaseLost):
        asyncio.run(call(**one, permit=refuse))
    assert counter.count() == 0
    assert not Execution.objects.exists()


@pytest.mark.parametrize(("idempotent", "status"), [(True, "failed"), (False, "unknown")])
def test_a_call_that_is_stopped_ends(caller, counter, idempotent, status):
    counter.idempotent = idempotent

    async def stopped():
        begun = asyncio.Event()

        async def wait(arguments, context):
            begun.set()
            await asyncio.Event().wait()

        counter.doing = wait
        one = {"name": "count", "arguments": {}, "caller": caller, "run_id": "r", "call_id": "c", "idempotency_key": ""}
        task = asyncio.create_task(call(**one))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    execution = Execution.objects.get()
    assert execution.status == status
    assert execution.ended_at is not None


def test_calls_whose_run_never_came_back_are_ended_by_the_sweep(caller, counter):
    execution_id = claimed_by_the_dead(caller, new_key())
    living = claimed_by_the_dead(caller, new_key(), silent=False)
    heard_soon = claimed_by_the_dead(caller, new_key())
    Execution.objects.filter(pk=execution_id).update(held_until=timezone.now() - timedelta(minutes=1))
    counter.idempotent = True
    recent = claimed_by_the_dead(caller, new_key())
    forgotten = claimed_by_the_dead(caller, new_key())
    Execution.objects.filter(pk=forgotten).update(held_until=timezone.now() - claims.ABANDONED - timedelta(seconds=1))
    assert claims.end_silent() == 2
    found = dict(Execution.objects.values_list("pk", "status"))
    open_ = dict.fromkeys((living, heard_soon, recent), "running")
    assert found == open_ | {execution_id: "unknown", forgotten: "failed"}


def test_a_process_that_is_killed_between_the_deed_and_its_record(caller, called, counter, settings):
    key = new_key()
    database = connection.settings_dict
    name, host, port = database["NAME"], database["HOST"], database["PORT"]
    environment = {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{host}:{port}/{name}",
        "REDIS_URL": settings.REDIS_URL,
        "DJANGO_SETTINGS_MODULE": "realtime_project.settings",
        "PLUGINS_CALL_LEASE_SECONDS": "1.0",
    }
    command = [sys.executable, "-m", "tests.plugins.tools.dying", str(caller.pk), key]
    died = subprocess.run(command, env=os.environ | environment, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert counter.count() == 1
    result = called("count", key=key)
    assert "may or may not have happened" in result.error
    assert counter.count() == 1
