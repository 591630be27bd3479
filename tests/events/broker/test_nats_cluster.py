"""Three servers of NATS, every event on all of them, one of them killed."""

import pytest

from events.broker.base import Appended, DurableAppend, OnceAppend
from events.broker.nats import NatsBroker
from events.event import START
from realtime_project.serving.binaries import nats_server
from realtime_project.serving.process import Child
from tests.events.conftest import a_backlog, a_durable_stream, note, notes, numbers, packed, sooner_or_later
from tests.live.processes import free_port

COUNT = 60


@pytest.fixture
def cluster(tmp_path):
    """The addresses of three servers, and their processes."""
    ports, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    children = []
    for number, (port, route) in enumerate(zip(ports, routes, strict=True)):
        (tmp_path / f"{number}.conf").write_text(
            f'server_name: n{number}\nlisten: "127.0.0.1:{port}"\njetstream {{ store_dir: "{tmp_path / str(number)}" }}\n'
            f'cluster {{ name: c, listen: "127.0.0.1:{route}", routes: {[f"nats://127.0.0.1:{each}" for each in routes]} }}\n'
        )
        child = Child(
            name=f"nats {number}",
            argv=[str(nats_server()), "-c", str(tmp_path / f"{number}.conf")],
            output=tmp_path / f"{number}.log",
        )
        child.start()
        children.append(child)
    yield ",".join(f"nats://127.0.0.1:{port}" for port in ports), children
    for child in children:
        child.stop()


async def test_one_of_three_is_killed_and_nothing_is_lost_or_doubled(cluster, settings):
    settings.NATS_REPLICAS = 3
    url, children = cluster
    broker = NatsBroker(url)
    durable, backlog, ids = a_durable_stream(), a_backlog(), []
    await sooner_or_later(lambda: broker.fence(durable, 1))
    for n in range(1, COUNT + 1):
        if n == COUNT // 3:
            children[1].kill()
        append = DurableAppend(durable, 1, [note(n)])
        assert await sooner_or_later(lambda append=append: broker.append_durable([append])) == [Appended.OK]
        once = OnceAppend(backlog, packed(n), f"key {n}", 60)
        ids += await sooner_or_later(lambda once=once: broker.append_once([once]))
    [answer, feed] = await sooner_or_later(lambda: broker.read([(durable, START), (backlog, START)], limit=1000))
    assert answer.events == notes(1, COUNT)
    assert [event.id for event in feed.events] == ids
    assert numbers(feed.events) == list(range(1, COUNT + 1))
    await broker.close()
