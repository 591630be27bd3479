"""The recorder: sync and async, nested, never in the plugin's way."""

import asyncio
import threading
import time

import pytest
from django.db import OperationalError

from accounts.models import Membership, Organization
from accounts.verification import caller_of_user
from events import journal
from events.event import START
from plugins import executions, recording
from plugins.catalogue import add
from plugins.execution_events import Type
from plugins.masking import MASK
from plugins.models import Execution
from plugins.recorder import Recorder
from tests.patience import patiently


@pytest.fixture
def execution(people, redis_url):
    organization = Organization.objects.create(public_id="org_one", name="One")
    Membership.objects.create(organization=organization, user=people["alice"])
    caller = caller_of_user(people["alice"].pk)
    plugin = add(caller=caller, name="Weather", organization_id="", tools=[])
    return executions.create(caller=caller, plugin=plugin, tool_name="forecast", given={})


def told(execution):
    events = journal.read(executions.execution_stream(execution.pk), START)
    assert [event.id.major for event in events] == list(range(1, len(events) + 1))
    return [(event.type.removeprefix("execution."), event.data) for event in events]


def status_of(execution):
    return Execution.objects.get(pk=execution.pk).status


def test_what_a_plugin_does_is_recorded_in_order(execution):
    with Recorder(execution.pk) as recorder:
        recorder.log("Begins", level="debug")
        with recorder.step("parse") as step:
            step.variable("rows", {"count": 2, "password": "x"})
            with step.step("inner") as inner:
                inner.log("deep")
                inner.api_call("GET", "https://user:pw@api.example.org/?token=abc", status=200, duration_ms=3.5)
        recorder.trace(node="n1")
        recorder.result = {"rain": True}
    events = told(execution)
    assert [type_ for type_, _ in events] == [
        "log",
        "step",
        "variable",
        "step",
        "log",
        "api_call",
        "step",
        "step",
        "trace",
        "complete",
    ]
    outer, inner = events[1][1], events[3][1]
    assert (outer["name"], outer["status"]) == ("parse", "started")
    assert "parent_id" not in outer
    assert inner["parent_id"] == outer["step_id"]
    assert events[2][1] == {"name": "rows", "value": {"count": 2, "password": MASK}, "step_id": outer["step_id"]}
    assert events[5][1]["url"] == f"https://{MASK}@api.example.org/?token={MASK}"
    assert (events[6][1]["status"], events[7][1]["status"]) == ("completed", "completed")
    assert events[-1] == ("complete", {"result": {"rain": True}})
    assert status_of(execution) == "completed"


async def test_the_same_in_async_code(execution):
    async with Recorder(execution.pk) as recorder, recorder.step("parse") as step:
        async with step.step("inner"):
            await asyncio.sleep(0)
        recorder.result = 1
    assert [type_ for type_, _ in await asyncio.to_thread(told, execution)] == ["step", "step", "step", "step", "complete"]


def test_an_exception_is_recorded_and_goes_on(execution):
    with pytest.raises(ValueError, match="row 7"), Recorder(execution.pk) as recorder, recorder.step("parse"):
        raise ValueError("row 7: password=hunter2")
    events = told(execution)
    assert [type_ for type_, _ in events] == ["step", "step", "error"]
    assert events[1][1]["status"] == "failed"
    assert events[2][1] == {"error": f"ValueError: row 7: password={MASK}", "kind": "ValueError"}
    assert status_of(execution) == "failed"


def test_a_step_that_failed_and_was_caught_does_not_end_the_execution(execution):
    with Recorder(execution.pk) as recorder:
        with pytest.raises(KeyError), recorder.step("first try"):
            raise KeyError("x")
        with recorder.step("second try"):
            recorder.result = "well"
    assert [data.get("status") for _, data in told(execution)] == ["started", "failed", "started", "completed", None]
    assert status_of(execution) == "completed"


def test_a_value_is_recorded_as_it_was(execution):
    with Recorder(execution.pk) as recorder:
        rows = [1]
        recorder.variable("rows", rows)
        rows.append(2)
        recorder.variable("rows", rows)
    assert [data["value"] for type_, data in told(execution) if type_ == "variable"] == [[1], [1, 2]]


def test_what_cannot_be_recorded_does_not_break_a_plugin(execution):
    class Broken(dict):
        def items(self):
            raise RuntimeError

    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError

    def plugin():
        with Recorder(execution.pk) as recorder:
            recorder.variable("broken", Broken())
            recorder.log(Ellipsis)
            raise Unprintable

    with pytest.raises(Unprintable):
        plugin()
    assert told(execution)[-1] == ("error", {"error": "Unprintable", "kind": "Unprintable"})


def test_many_events_are_all_there(execution):
    with Recorder(execution.pk) as recorder:
        for number in range(900):
            recorder.log(str(number))
    wait_until(lambda: status_of(execution) == "completed")
    assert [data["message"] for type_, data in told(execution) if type_ == "log"] == [str(number) for number in range(900)]


def wait_until(condition, seconds=20):
    end = time.monotonic() + patiently(seconds)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Outage:
    """The database does not answer the recorder, until it does; and it may have written what it did not confirm."""

    def __init__(self, monkeypatch, *, writes=False):
        self.over = threading.Event()
        self.tried = threading.Event()
        append = executions.append

        def appending(**arguments):
            if self.over.is_set():
                return append(**arguments)
            if writes:
                append(**arguments)
            self.tried.set()
            raise OperationalError("away")

        monkeypatch.setattr(executions, "append", appending)


def test_a_database_that_is_away_does_not_hold_a_plugin_up(execution, monkeypatch, settings):
    settings.PLUGINS_RECORDER_BUFFER = 50
    settings.PLUGINS_RECORDER_WAIT_SECONDS = 0.2
    outage = Outage(monkeypatch)
    began = time.monotonic()
    with Recorder(execution.pk) as recorder:
        recorder.log("first")
        assert outage.tried.wait(5)
        for number in range(500):
            recorder.log(str(number))
        recorder.result = "made"
    assert time.monotonic() - began < patiently(3)
    assert not recorder.flush()
    outage.over.set()
    wait_until(lambda: status_of(execution) == "completed")
    messages = [data["message"] for type_, data in told(execution) if type_ == "log"]
    assert messages[:51] == ["first", *map(str, range(50))]
    assert messages[51:] == ["450 events were dropped here: they came faster than they could be written."]
    assert recorder.flush()


def test_what_was_written_without_confirmation_is_not_written_twice(execution, monkeypatch):
    outage = Outage(monkeypatch, writes=True)
    recorder = Recorder(execution.pk)
    recorder.log("once")
    assert outage.tried.wait(5)
    recorder.log("twice")
    outage.over.set()
    recorder.complete({"a": 1})
    wait_until(lambda: status_of(execution) == "completed")
    assert [data.get("message") for _, data in told(execution)] == ["once", "twice", None]


def test_a_database_that_stays_away_is_given_up(execution, monkeypatch, caplog):
    monkeypatch.setattr(recording, "PERSISTENT_SECONDS", 0.1)
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    outage = Outage(monkeypatch)
    recorder = Recorder(execution.pk)
    recorder.log("lost")
    wait_until(recorder.flush)
    assert "1 events of execution" in caplog.text
    outage.over.set()
    recorder.complete()
    wait_until(lambda: status_of(execution) == "completed")
    assert [type_ for type_, _ in told(execution)] == ["complete"]


def test_the_end_is_taken_though_the_execution_is_full(execution, settings):
    settings.PLUGINS_EXECUTION_MAX_EVENTS = 2
    with Recorder(execution.pk) as recorder:
        for number in range(5):
            recorder.log(str(number))
        recorder.result = 5
    wait_until(lambda: status_of(execution) == "completed")


def test_after_the_end_a_recorder_says_nothing_and_breaks_nothing(execution):
    executions.append(execution_id=execution.pk, reports=[(Type.ERROR, {"error": "Stopped."})])
    with Recorder(execution.pk) as recorder:
        recorder.log("late")
    assert recorder.flush()
    assert [type_ for type_, _ in told(execution)] == ["error"]


def test_many_threads_may_record(execution):
    with Recorder(execution.pk) as recorder:
        threads = [threading.Thread(target=lambda: [recorder.log("x") for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wait_until(lambda: status_of(execution) == "completed")
    assert len(told(execution)) == 401
