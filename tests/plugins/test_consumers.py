"""The debug socket, called as a server calls it."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from accounts.threads import in_thread
from accounts.verification import caller_of_user
from events import batches
from plugins import consumers, executions
from plugins.catalogue import add
from plugins.consumers import PluginDebugConsumer
from plugins.execution_events import Type
from plugins.models import Execution
from tests.events.conftest import hub, until, valkey  # noqa: F401 - fixtures
from tests.events.sockets import Socket


@pytest.fixture(autouse=True)
def _own_broker(hub):  # noqa: F811
    batches._broker.cache_clear()
    yield
    batches._broker.cache_clear()


@pytest.fixture
async def execution(people):
    def make():
        organization = Organization.objects.create(public_id="org_one", name="One")
        Membership.objects.create(organization=organization, user=people["alice"])
        caller = caller_of_user(people["alice"].pk)
        plugin = add(caller=caller, name="Weather", organization_id="", tools=[])
        return executions.create(caller=caller, plugin=plugin, tool_name="forecast", given={"city": "Bergen"})

    return await in_thread(make)


@pytest.fixture
async def watch():
    """Opens a debug socket; what is left open is closed at the end."""
    opened = []

    def call(execution_id, **query):
        path = f"/api/v1/ws/plugin/debug/{execution_id}"
        opened.append(Socket(PluginDebugConsumer, path, query=query, path_args={"execution_id": str(execution_id)}))
        return opened[-1]

    yield call
    for socket in opened:
        if not socket.task.done():
            await socket.leave()


async def record(execution, *messages, end=None):
    reports = [(Type.LOG, {"message": message}) for message in messages]
    if end is not None:
        reports.append((Type.COMPLETE, {"result": end}))
    await in_thread(executions.append, execution_id=execution.pk, reports=reports)


async def seen(socket, count):
    """So many more frames as (type, seq, what)."""
    frames = [await socket.next() for _ in range(count)]
    return [(each["type"], each.get("seq"), each["data"].get("message", each["data"].get("result"))) for each in frames]


async def test_it_says_what_it_is_then_history_then_what_happens(execution, watch):
    await record(execution, "a", "b")
    socket = watch(execution.pk)
    info = await socket.next()
    assert info["type"] == "execution_info"
    assert info["data"]["tool_name"] == "forecast"
    assert info["data"]["plugin_id"] == str(execution.plugin_id)
    assert info["data"]["status"] == "running"
    assert info["data"]["input"] == {"city": "Bergen"}
    history = await socket.next()
    assert history["type"] == "debug_data"
    assert [(each["type"], each["seq"], each["data"]) for each in history["data"]["events"]] == [
        ("log", 1, {"message": "a"}),
        ("log", 2, {"message": "b"}),
    ]
    await record(execution, "c", end=42)
    assert await seen(socket, 2) == [("log", 3, "c"), ("execution_complete", 4, 42)]


async def test_without_history_there_is_no_frame_of_it(execution, watch):
    socket = watch(execution.pk)
    assert (await socket.next())["data"]["status"] == "pending"
    # Answered when it is open: what is recorded now is no history.
    assert (await socket.answer({"type": "ping"}))["type"] == "pong"
    await record(execution, "a")
    assert await seen(socket, 1) == [("log", 1, "a")]


async def test_afterwards_the_end_has_its_own_frame_and_the_socket_stays(execution, watch):
    await record(execution, "a", end={"rain": True})
    socket = watch(execution.pk)
    assert [(await socket.next())["type"] for _ in range(2)] == ["execution_info", "debug_data"]
    assert await seen(socket, 1) == [("execution_complete", 2, {"rain": True})]
    socket.say("ping")
    await until(lambda: socket.sent[-1].get("text") == "pong")
    assert socket.closed is None


async def test_the_bare_ping_and_the_other_one(execution, watch):
    socket = watch(execution.pk)
    await socket.next()
    socket.say({"type": "ping"})
    assert (await socket.next())["type"] == "pong"
    socket.say("ping")
    await until(lambda: socket.sent[-1].get("text") == "pong")
    assert socket.closed is None


async def test_a_word_that_is_not_understood_is_an_error_and_no_end(execution, watch):
    socket = watch(execution.pk)
    await socket.next()
    assert (await socket.answer("pong?"))["type"] == "error"
    assert (await socket.answer({"type": "dance"}))["type"] == "error"
    assert socket.closed is None


@pytest.mark.parametrize("since", range(5))
async def test_it_goes_on_after_any_event(execution, watch, since):
    await record(execution, "a", "b", "c", end=1)
    socket = watch(execution.pk, since=str(since))
    await socket.next()
    assert [seq for _, seq, _ in await seen(socket, 4 - since)] == list(range(since + 1, 5))


@pytest.mark.parametrize("since", ["99", "x", "-1", "1-0", ""])
async def test_a_place_that_is_none_is_told_and_everything_follows(execution, watch, since):
    await record(execution, "a", "b")
    socket = watch(execution.pk, since=since)
    await socket.next()
    assert (await socket.next())["type"] == "backlog.truncated"
    assert [seq for _, seq, _ in await seen(socket, 2)] == [1, 2]


@pytest.mark.parametrize(
    "execution_id", ["5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f", "exec-uuid-123", "%00", "{5f0c2b1e-7d3a-4c6b-9e8f-0a1b2c3d4e5f}"]
)
async def test_one_that_is_not_there_is_refused(people, watch, execution_id):
    socket = watch(execution_id)
    frame = await socket.next()
    assert (frame["type"], frame["code"]) == ("error", "not_found")
    assert (await socket.over())[0] == 4404


async def test_one_that_expired_is_refused(execution, watch):
    await in_thread(lambda: Execution.objects.update(expires_at=timezone.now() - timedelta(seconds=1)))
    socket = watch(execution.pk)
    assert (await socket.next())["type"] == "error"
    assert (await socket.over())[0] == 4404


async def test_a_long_history_comes_in_frames_that_clients_take(execution, watch, monkeypatch):
    monkeypatch.setattr(consumers, "HISTORY_BYTES", 5000)
    for start in range(0, 1500, 500):
        await record(execution, *(f"message {number}" for number in range(start, start + 500)))
    socket = watch(execution.pk)
    await socket.next()
    numbers = []
    while len(numbers) < 1500:
        frame = await socket.next()
        assert frame["type"] == "debug_data"
        assert len(json.dumps(frame)) < 7000
        numbers += [each["seq"] for each in frame["data"]["events"]]
        assert frame["seq"] == numbers[-1]
    assert numbers == list(range(1, 1501))


async def test_what_is_recorded_while_the_history_is_told_comes_once(execution, watch):
    await record(execution, "a")
    sockets = [watch(execution.pk) for _ in range(10)]
    for number in range(20):
        await record(execution, str(number))
    await record(execution, "z", end=1)
    for socket in sockets:
        await until(lambda socket=socket: "execution_complete" in socket.types)
        numbers = []
        for frame in socket.frames:
            numbers += [each["seq"] for each in frame["data"]["events"]] if frame["type"] == "debug_data" else []
            numbers += [frame["seq"]] if frame["type"] in ("log", "execution_complete") else []
        assert numbers == list(range(1, 24))


async def test_a_broker_that_is_wiped_takes_nothing_away(execution, watch, valkey):  # noqa: F811
    socket = watch(execution.pk)
    await socket.next()
    await socket.answer({"type": "ping"})
    await record(execution, "a")
    assert await seen(socket, 1) == [("log", 1, "a")]
    valkey.flushall()
    await record(execution, "b")
    assert await seen(socket, 1) == [("log", 2, "b")]
