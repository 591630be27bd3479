"""The embedded Valkey: starts, keeps its data, leaves nothing open to the network."""

from urllib.parse import urlsplit

import pytest
import redis

from realtime_project.serving.errors import ServingError
from realtime_project.serving.valkey import EmbeddedValkey


@pytest.fixture
def valkey(data_dir):
    server = EmbeddedValkey(data_dir / "valkey")
    yield server
    server.stop()


def test_entries_of_a_stream_are_there_after_a_restart(valkey):
    with redis.Redis.from_url(valkey.start()) as client:
        entry = client.xadd("s", {"a": "1"})
    valkey.stop()
    assert valkey.child.exit_code == 0
    again = EmbeddedValkey(valkey.home)
    try:
        with redis.Redis.from_url(again.start()) as client:
            assert client.xrange("s") == [(entry, {b"a": b"1"})]
    finally:
        again.stop()


def test_it_listens_on_this_machine_only_and_asks_a_password_that_nobody_else_can_see(valkey):
    address = urlsplit(valkey.start())
    with redis.Redis.from_url(address.geturl()) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=address.port) as client:
        client.ping()
    assert address.password not in " ".join(valkey.child.argv)
    for file in ("password", "valkey.conf"):
        assert (valkey.home / file).stat().st_mode & 0o077 == 0


def test_a_long_data_folder_works(data_dir):
    server = EmbeddedValkey(data_dir / ("long" * 40))
    try:
        with redis.Redis.from_url(server.start()) as client:
            assert client.ping()
    finally:
        server.stop()


def test_a_server_that_outlived_its_starter_is_ended_and_its_data_used(valkey):
    with redis.Redis.from_url(valkey.start()) as client:
        client.set("kept", "1")
    again = EmbeddedValkey(valkey.home)
    try:
        with redis.Redis.from_url(again.start()) as client:
            assert client.get("kept") == b"1"
        assert valkey.child.wait(5)
    finally:
        again.stop()


def test_a_damaged_file_ends_in_a_sentence(valkey):
    folder = valkey.home / "data" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ServingError, match="Valkey did not start"):
        valkey.start()


def test_a_file_where_its_folder_should_be_is_a_sentence(data_dir):
    (data_dir / "valkey").write_text("")
    with pytest.raises(ServingError, match="cannot use"):
        EmbeddedValkey(data_dir / "valkey").start()
