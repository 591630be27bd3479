import asyncio
import json
import time

import pytest

from accounts.recent import recent_callers
from events import registry
from events.connections import TABLES, Connection, Connections
from events.exceptions import InvalidRequest, NotFound
from events.hub import Hub
from events.publishing import publish_many
from tests.events.conftest import until
from tests.patience import patiently

LEASE = 1.0


@pytest.fixture(autouse=True)
def _quick(settings, monkeypatch):
    settings.PRESENCE_SECONDS = LEASE
    monkeypatch.setattr("events.connections.RETRY_SECONDS", 0.1)


@pytest.fixture
async def processes(valkey):
    """Makes connections as separate processes have them, ready to hear commands."""
    hubs = []

    async def make():
        hub = Hub()
        hubs.append(hub)
        connections = hub.part(Connections)
        await until(lambda: any(feed for ring in hub.rings.values() for feed in ring.feeds if feed._waiter is not None))
        return connections

    yield make
    for hub in hubs:
        await hub.close()


class Client:
    """A connection, and what was done to it."""

    def __init__(self, connections, user="ann", session="session-abc", path="/ws/chat/abc", transport="ws", number=1, at=None):
        self.ended, self.rechecked = [], 0
        self.connections = connections
        self.connection = Connection(
            id=f"{user}-{number}",
            user_id=user,
            session=session,
            path=path,
            transport=transport,
            opened_at=at or time.time(),
            end=lambda code, reason: self.ended.append((code, reason)),
            recheck=self._recheck,
        )
        connections.register(self.connection)

    def _recheck(self):
        self.rechecked += 1

    def leave(self):
        self.connections.unregister(self.connection)


def empty():
    return {
        "total_connections": 0,
        "active_sessions": 0,
        "active_users": 0,
        "details": {"sessions": {}, "users": {}},
    }


async def eventually(ask, holds, *, seconds=3):
    """What `await ask()` gives, once that holds."""
    async with asyncio.timeout(patiently(seconds)):
        while not holds(found := await ask()):  # noqa: ASYNC110 - the board is in another process's hands
            await asyncio.sleep(0.01)
    return found


async def stats_become(broker, wanted, *, seconds=3):
    await eventually(lambda: registry.stats(broker), lambda found: found == wanted, seconds=seconds)


async def listed(broker, **filters):
    return [each["id"] for each in (await registry.page(broker, **filters))[0]]


async def has_note(broker, connection_id):
    await eventually(lambda: listed(broker), lambda found: connection_id in found)


async def test_sockets_of_all_processes_are_counted_by_session_and_user(processes, broker, valkey):
    one, other = await processes(), await processes()
    clients = [
        Client(one, "ann", "session-abc"),
        Client(other, "ann", "session-abc", number=2),
        Client(other, "ann", "workspace_ws-123", number=3),
        Client(one, "bob", "workspace_ws-123"),
        Client(one, "", "execution-1", number=4),
        Client(one, "bob", "user:bob", path="/api/events", transport="sse", number=5),
    ]
    await stats_become(
        broker,
        {
            "total_connections": 5,
            "active_sessions": 3,
            "active_users": 2,
            "details": {"sessions": {"session-abc": 2, "workspace_ws-123": 2, "execution-1": 1}, "users": {"ann": 3, "bob": 1}},
        },
    )
    for client in clients:
        client.leave()
        client.leave()
    await stats_become(broker, empty())
    assert await listed(broker) == []


async def test_the_board_of_a_killed_process_runs_out_and_a_living_ones_stays(processes, broker, valkey):
    dead, living = await processes(), await processes()
    Client(dead, "ann")
    Client(living, "bob", "session-b")
    await until(lambda: len(valkey.zrange("tl:{boards}", 0, -1)) == 2)
    await has_note(broker, "ann-1")
    for task in dead._tasks:
        task.cancel()
    only_bob = {"total_connections": 1, "active_sessions": 1, "active_users": 1}
    await stats_become(broker, only_bob | {"details": {"sessions": {"session-b": 1}, "users": {"bob": 1}}}, seconds=LEASE * 2)
    await asyncio.sleep(LEASE * 2)
    assert await listed(broker) == ["bob-1"]


async def test_a_process_that_stops_takes_its_board_down(processes, broker, valkey):
    hub = Hub()
    connections = hub.part(Connections)
    Client(connections)
    await has_note(broker, "ann-1")
    await hub.close()
    assert valkey.keys("tl:{boards}*") == []


async def test_a_wiped_broker_is_told_everything_again(processes, broker, valkey):
    connections = await processes()
    for number in range(2500):
        Client(connections, "ann", f"session-{number % 10}", number=number)
    wanted = {"sessions": {f"session-{n}": 250 for n in range(10)}, "users": {"ann": 2500}}
    whole = {"total_connections": 2500, "active_sessions": 10, "active_users": 1, "details": wanted}
    await stats_become(broker, whole)
    valkey.flushall()
    await stats_become(broker, whole)
    await until(lambda: valkey.hlen(f"tl:{{boards}}:{connections.process}:connections") == 2500)


async def test_what_changes_while_the_broker_is_away_is_told_when_it_is_back(valkey_proxy, processes, broker, valkey):
    connections = await processes()
    gone = Client(connections, "ann")
    await has_note(broker, "ann-1")
    valkey_proxy.cut()
    gone.leave()
    Client(connections, "bob", "session-b")
    await asyncio.sleep(LEASE * 0.3)
    valkey_proxy.restore()
    detail = {"sessions": {"session-b": 1}, "users": {"bob": 1}}
    await stats_become(broker, {"total_connections": 1, "active_sessions": 1, "active_users": 1, "details": detail}, seconds=10)
    assert await listed(broker) == ["bob-1"]


async def test_connections_are_listed_newest_first_in_pages_and_by_user(processes, broker, monkeypatch):
    monkeypatch.setattr(registry, "PAGE", 10)
    both = [await processes(), await processes()]
    began = time.time() - 1000
    for number in range(25):
        Client(both[number % 2], "ann" if number % 5 else "bob", number=number, at=began + number // 2)
    await has_note(broker, "ann-24")
    await has_note(broker, "bob-20")
    found, cursor = [], ""
    while cursor is not None:
        page, cursor = await registry.page(broker, cursor=cursor)
        assert len(page) <= 10
        found += page
    assert len({each["id"] for each in found}) == len(found) == 25
    assert [each["opened_at"] for each in found] == sorted((each["opened_at"] for each in found), reverse=True)
    assert found[0].keys() == {"id", "user_id", "session", "path", "transport", "opened_at", "process"}
    assert {each["process"] for each in found} == {each.process for each in both}
    assert {each["user_id"] for each in (await registry.page(broker, user_id="bob"))[0]} == {"bob"}
    assert len(await listed(broker, user_id="bob")) == 5
    assert await listed(broker, user_id="bo") == []
    for bad in ("x", "1~", "~a", "1~a\n", f"{'9' * 40}~a"):
        with pytest.raises(InvalidRequest):
            await registry.page(broker, cursor=bad)


async def test_a_session_of_any_length_and_characters_stops_nothing(processes, broker):
    connections = await processes()
    Client(connections, "ann", session="x" * 100_000, path='/ws/chat/"\ud800\n' + "y" * 100_000)
    await has_note(broker, "ann-1")
    found = (await registry.page(broker))[0][0]
    assert len(found["session"]) == len(found["path"]) == 200


async def test_one_connection_is_ended_in_whatever_process_it_is(processes, broker):
    _, other = await processes(), await processes()
    wanted, not_wanted = Client(other, "ann", number=1), Client(other, "ann", number=2)
    began = time.monotonic()
    await publish_many([registry.end_command(connection_id="ann-1", by="demo")])
    await until(lambda: wanted.ended, seconds=1)
    assert time.monotonic() - began < patiently(1)
    assert wanted.ended == [(4403, "Ended by an operator")]
    assert not_wanted.ended == []


async def test_all_connections_of_a_user_are_ended_everywhere_and_nobody_elses(processes):
    both = [await processes(), await processes()]
    hers = [Client(both[n % 2], "ann", number=n, transport="ws" if n < 3 else "sse") for n in range(6)]
    his = Client(both[0], "bob")
    await publish_many([registry.end_command(user_id="ann", by="demo")])
    await until(lambda: all(each.ended for each in hers), seconds=1)
    assert his.ended == []


async def test_commands_are_obeyed_though_sse_push_is_off(processes, settings):
    settings.ENABLE_SSE_PUSH = False
    connections = await processes()
    client = Client(connections)
    await publish_many([registry.end_command(user_id="ann", by="demo")])
    await until(lambda: client.ended, seconds=1)


@pytest.mark.django_db(transaction=True)
async def test_a_recheck_reaches_the_users_connections_everywhere_once_committed(processes):
    from django.db import transaction

    from accounts.threads import in_thread

    both = [await processes(), await processes()]
    hers = [Client(both[n % 2], "ann", number=n) for n in range(4)]
    his = Client(both[1], "bob")

    def change():
        with transaction.atomic():
            registry.recheck_users(["ann", "ann"])
            time.sleep(0.2)
            return sum(each.rechecked for each in hers)

    assert await in_thread(change) == 0
    await until(lambda: [each.rechecked for each in hers] == [1] * 4, seconds=1)
    assert his.rechecked == 0


async def test_a_command_is_heard_after_an_outage_and_a_gap_has_everybody_looked_at_again(
    valkey_proxy, processes, valkey, broker
):
    connections = await processes()
    client, other = Client(connections), Client(connections, "bob")
    valkey_proxy.cut()
    await broker.append(
        [(publication.stream, _packed(publication)) for publication in [registry.end_command(user_id="ann", by="x")]]
    )
    valkey_proxy.restore()
    await until(lambda: client.ended, seconds=10)
    assert other.ended == []
    # What was said between a wipe and now is lost: those who lost what let them in are found by looking.
    valkey.flushall()
    await publish_many([registry.end_command(user_id="nobody", by="x")])
    await until(lambda: other.rechecked, seconds=10)
    assert len(client.ended) == 1


def _packed(publication):
    from events.event import pack

    return pack(publication.type, publication.data, int(time.time() * 1000))


async def test_an_unknown_connection_is_not_found(processes, broker):
    connections = await processes()
    Client(connections)
    await has_note(broker, "ann-1")
    await registry.require(broker, "ann-1")
    with pytest.raises(NotFound):
        await registry.require(broker, "ann-2")


async def test_a_recheck_forgets_callers_that_were_verified_a_moment_ago(processes):
    connections = await processes()
    recent_callers._callers["x"] = (time.monotonic() + 60, None)
    connections.recheck(["ann"])
    assert len(recent_callers) == 0


async def test_processes_say_what_they_have(processes, broker):
    connections = await processes()
    Client(connections)
    await has_note(broker, "ann-1")
    [facts] = await eventually(lambda: registry.processes(broker), lambda found: found[0]["connections"] == 1)
    assert facts["process"] == connections.process
    assert facts["streams"] == 1
    assert facts["tasks"] > 5
    assert facts["threads"] >= 1


def test_kinds_come_from_the_path_of_a_socket_and_the_stream_of_a_feed():
    def kind(**fields):
        nothing = {"id": "1", "user_id": "", "session": "s", "end": None, "recheck": None}
        return Connection(**(nothing | fields)).kind

    assert kind(transport="ws", path="/ws/chat/abc") == "chat"
    assert kind(transport="ws", path="/ws/events") == "events"
    assert kind(transport="ws", path="/api/v1/ws/plugin/debug/abc") == "plugin"
    assert kind(transport="ws", path="/ws") == "ws"
    assert kind(transport="sse", path="/api/events", session="user:ann") == "user"


async def test_a_board_has_no_table_that_outlives_it(processes, valkey, broker):
    connections = await processes()
    client = Client(connections)
    await has_note(broker, "ann-1")
    for table in TABLES:
        assert 0 < valkey.pttl(f"tl:{{boards}}:{connections.process}:{table}") <= LEASE * 1000
    assert json.loads(valkey.hget(f"tl:{{boards}}:{connections.process}:connections", "ann-1"))["user_id"] == "ann"
    client.leave()
