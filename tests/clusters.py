"""A Redis Cluster of real servers on this machine, for tests."""

import contextlib
import time
from pathlib import Path

import redis

from realtime_project.serving.binaries import valkey_server
from realtime_project.serving.ports import free_port
from realtime_project.serving.process import Child

SLOTS = 16384
SECONDS = 60.0


class ValkeyCluster:
    """`primaries` servers that share the slots, and `replicas` that follow the first of them. Nothing is kept on disk."""

    def __init__(self, folder: Path, *, primaries: int = 3, replicas: int = 0) -> None:
        self.ports = [free_port() for _ in range(primaries + replicas)]
        self._buses = [free_port() for _ in self.ports]
        self._primaries = primaries
        self.children = [self._child(folder, port, bus) for port, bus in zip(self.ports, self._buses, strict=True)]

    def _child(self, folder: Path, port: int, bus: int) -> Child:
        home = folder / str(port)
        home.mkdir()
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "cluster-enabled": "yes",
            "cluster-port": bus,
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": 1000,
            "dir": home,
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return Child(name=f"valkey {port}", argv=[str(valkey_server()), *arguments], output=home / "log")

    def start(self) -> str:
        """Starts it, waits until all agree, and returns the address of one of its servers."""
        for child in self.children:
            child.start()
        _wait(lambda: all(self.client(number).ping() for number in range(len(self.ports))))
        for number in range(self._primaries):
            first, last = (SLOTS * (number + more) // self._primaries for more in (0, 1))
            self.client(number).execute_command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            self.client(number).execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port, bus in zip(self.ports[1:], self._buses[1:], strict=True):
            self.client(0).execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        everybody = range(len(self.ports))
        _wait(lambda: all(len(self.client(number).cluster("nodes")) == len(self.ports) for number in everybody))
        for number in range(self._primaries, len(self.ports)):
            self.client(number).execute_command("CLUSTER", "REPLICATE", self.id_of(0))
        _wait(lambda: all(self.client(number).cluster("info")["cluster_state"] == "ok" for number in everybody))
        _wait(lambda: all(self._is_linked(number) for number in range(self._primaries, len(self.ports))))
        return f"redis://127.0.0.1:{self.ports[-1]}/0"

    def client(self, number: int) -> redis.Redis:
        """A client of one of its servers: the primaries come first."""
        return redis.Redis(port=self.ports[number], socket_timeout=5)

    def id_of(self, number: int) -> str:
        """The name by which the others know a server."""
        return self.client(number).execute_command("CLUSTER", "MYID").decode()

    def wipe(self) -> None:
        """Removes everything from it."""
        for number in range(self._primaries):
            self.client(number).flushall()

    def stop(self) -> None:
        """Ends all its servers."""
        for child in self.children:
            child.kill()

    def _is_linked(self, number: int) -> bool:
        return self.client(number).info("replication").get("master_link_status") == "up"


def _wait(holds) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(redis.RedisError):
            if holds():
                return
        assert time.monotonic() < deadline, "the cluster does not come up"
        time.sleep(0.05)
