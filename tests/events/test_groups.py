import asyncio
import gc
import threading

import pytest

from events.groups import Groups
from events.hub import close_hub, current_hub
from tests.events.conftest import until
from tests.patience import patiently

pytestmark = pytest.mark.usefixtures("valkey")


class Listener:
    def __init__(self, name):
        self.connection_id = name
        self.heard = []

    def offer(self, text):
        self.heard.append(text)


@pytest.fixture
async def groups():
    groups = Groups()
    yield groups
    await groups.close()


async def test_all_members_hear_it_but_the_sender(groups):
    one, two, other = Listener("1"), Listener("2"), Listener("3")
    for group, member in (("a", one), ("a", two), ("b", other)):
        await groups.join(group, member)
    await groups.send("a", "x", but="1")
    await groups.send("b", "y")
    await until(lambda: two.heard == ["x"] and other.heard == ["y"])
    assert one.heard == []


async def test_a_group_may_have_any_name(groups):
    one = Listener("1")
    name = "workspace:ws_démo/" + "x" * 300
    await groups.join(name, one)
    await groups.send(name, "x")
    await until(lambda: one.heard == ["x"])


async def test_who_left_hears_nothing_and_the_last_one_unsubscribes(groups, valkey):
    one, two = Listener("1"), Listener("2")
    await groups.join("a", one)
    await groups.join("a", two)
    await groups.leave("a", one)
    await groups.leave("a", one)
    await groups.send("a", "x")
    await until(lambda: two.heard == ["x"])
    assert one.heard == []
    await groups.leave("a", two)
    assert not [name for name in valkey.pubsub_channels() if b"__group__" in name]


async def test_members_of_other_processes_hear_it():
    here = Listener("1")
    await current_hub().groups.join("a", here)

    async def elsewhere():
        await current_hub().groups.send("a", "x")
        await close_hub()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await until(lambda: here.heard == ["x"])
    thread.join()
    await close_hub()


async def test_it_is_heard_again_once_the_layer_is_back(groups, monkeypatch, caplog):
    class Away:
        async def new_channel(self):
            raise OSError("away")

    one = Listener("1")
    with monkeypatch.context() as patch:
        patch.setattr("events.groups.get_channel_layer", Away)
        await groups.join("a", one)
        await groups.send("a", "lost")
    assert "away" in caplog.text

    async with asyncio.timeout(patiently(10)):
        while not one.heard:
            await groups.send("a", "x")
            await asyncio.sleep(0.05)
    gc.collect()


async def test_a_connection_that_was_lost_meanwhile_loses_no_frame(groups, valkey, valkey_proxy, settings):
    layer = settings.CHANNEL_LAYERS["default"]
    settings.CHANNEL_LAYERS = {"default": layer | {"CONFIG": {"hosts": [settings.REDIS_URL]}}}
    await groups.send("a", "the first one opens the connection")
    heard = valkey.pubsub(ignore_subscribe_messages=True)
    heard.psubscribe("*__group__*")
    valkey_proxy.cut()
    valkey_proxy.restore()
    await groups.send("a", "x")
    async with asyncio.timeout(patiently(5)):
        while (message := await asyncio.to_thread(heard.get_message, timeout=0.1)) is None:
            pass
    assert b"x" in message["data"]
    heard.close()
