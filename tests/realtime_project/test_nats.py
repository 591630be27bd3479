"""The embedded NATS: starts, keeps its data, leaves nothing open to the network."""

import asyncio
import json
import socket
import threading
from urllib.parse import urlsplit

import nats
import pytest

from realtime_project.logs import redacted
from realtime_project.serving.errors import ServingError
from realtime_project.serving.nats import EmbeddedNats
from realtime_project.serving.stores import check_nats


@pytest.fixture
def server(data_dir):
    server = EmbeddedNats(data_dir / "nats")
    yield server
    server.stop()


async def stored(url):
    client = await nats.connect(url, allow_reconnect=False)
    stream = client.jetstream()
    await stream.add_stream(name="s", subjects=["s.*"])
    await stream.publish("s.a", b"1")
    await client.close()


async def found(url):
    client = await nats.connect(url, allow_reconnect=False)
    message = await client.jetstream().get_last_msg("s", "s.a")
    await client.close()
    return message.data


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_stored_is_there_after_a_restart(server, end):
    asyncio.run(stored(server.start()))
    server.stop() if end == "stop" else server.child.kill()
    again = EmbeddedNats(server.home)
    try:
        assert asyncio.run(found(again.start())) == b"1"
    finally:
        again.stop()


def test_it_listens_on_this_machine_only_and_asks_a_password_that_nobody_else_can_see(server):
    address = urlsplit(server.start())
    assert address.hostname == "127.0.0.1"
    with pytest.raises(nats.errors.Error):
        asyncio.run(found(f"nats://127.0.0.1:{address.port}"))
    assert address.password not in " ".join(server.child.argv)
    assert address.password not in redacted(server.url)
    for file in ("password", "nats.conf"):
        assert (server.home / file).stat().st_mode & 0o077 == 0


def test_a_server_that_outlived_its_starter_is_ended_and_its_data_used(server):
    asyncio.run(stored(server.start()))
    again = EmbeddedNats(server.home)
    try:
        assert asyncio.run(found(again.start())) == b"1"
        assert server.child.wait(5)
    finally:
        again.stop()


def test_a_file_where_its_folder_should_be_is_a_sentence(data_dir):
    (data_dir / "nats").write_text("")
    with pytest.raises(ServingError, match="cannot use"):
        EmbeddedNats(data_dir / "nats").start()


def test_a_nats_is_checked(server):
    check_nats(f"nats://127.0.0.1:1,{server.start()}")
    with pytest.raises(ServingError, match="cannot be reached") as caught:
        check_nats("nats://s3cretword@127.0.0.1:1")
    assert "s3cretword" not in str(caught.value)


@pytest.mark.parametrize(
    ("info", "says"),
    [({"version": "2.11.9", "jetstream": True}, "2.12 or newer"), ({"version": "2.15.1"}, "no JetStream"), ({}, "no JetStream")],
)
def test_a_nats_that_cannot_do_it_is_refused(info, says):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            connection.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServingError, match=says):
            check_nats(f"nats://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
