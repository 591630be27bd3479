"""The event loop of web processes: how many come in at a time, and over what."""

import asyncio
import socket

import pytest

from realtime_project.serving.loop import ACCEPTS, Loop
from tests.patience import patiently

CROWD = 20 * ACCEPTS


class Arrivals(asyncio.Protocol):
    """Notes in which turn of the loop each connection came."""

    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        self.server.arrived.append(self.server.turn)
        self.server.transports.append(transport)


class Server:
    """A listening server, and the turn of its loop."""

    def __init__(self):
        self.turn = 0
        self.arrived, self.transports = [], []

    async def listen(self, **where):
        self.listeners = await asyncio.get_running_loop().create_server(lambda: Arrivals(self), **where)
        return self.listeners.sockets[0].getsockname()

    async def all_arrive(self, count):
        async with asyncio.timeout(patiently(10)):
            while len(self.arrived) < count:
                self.turn += 1
                await asyncio.sleep(0)

    async def close(self):
        for transport in self.transports:
            transport.close()
        self.listeners.close()
        await self.listeners.wait_closed()


def connected(address, count):
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(address)
        clients.append(client)
    return clients


def run(scenario):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(scenario())


def inherited():
    """A listening socket as uvicorn makes it of a descriptor that it was given: called a Unix socket, whatever it is."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=CROWD)
    return listener, socket.fromfd(listener.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)


@pytest.mark.parametrize("given", ["an address", "a descriptor"])
def test_a_crowd_comes_in_several_in_a_turn_and_not_all_at_once(given):
    async def scenario():
        server = Server()
        where = {"host": "127.0.0.1", "port": 0, "backlog": CROWD} if given == "an address" else {"sock": inherited()[1]}
        clients = connected(await server.listen(**where), CROWD)
        await server.all_arrive(CROWD)
        await server.close()
        for client in clients:
            client.close()
        return server.arrived

    arrived = run(scenario)
    in_a_turn = [arrived.count(turn) for turn in set(arrived)]
    assert max(in_a_turn) <= 2 * ACCEPTS, "a turn as seen by a task may be two of the loop"
    assert len(in_a_turn) <= CROWD // 4, "one in a turn is what uvloop does by itself"


def test_what_is_sent_over_an_inherited_socket_does_not_wait_for_acknowledgements():
    async def scenario():
        server = Server()
        [client] = connected(await server.listen(sock=inherited()[1]), 1)
        await server.all_arrive(1)
        accepted = server.transports[0].get_extra_info("socket")
        no_delay = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await server.close()
        client.close()
        return accepted.family, bool(no_delay)

    assert run(scenario) == (socket.AF_INET, True)


def test_a_closed_server_lets_nobody_in_by_any_of_its_listeners():
    async def scenario():
        server = Server()
        address = await server.listen(host="127.0.0.1", port=0)
        assert server.listeners.is_serving()
        await server.close()
        assert not server.listeners.is_serving()
        with socket.socket() as client:
            return client.connect_ex(address)

    assert run(scenario) != 0
