"""A connection to NATS knows when it is over, however it ended: nobody else makes a new one."""

import asyncio

import pytest

from events.broker.nats import NatsBroker
from events.broker.nats_doorbells import NatsDoorbells
from events.broker.nats_link import Link, Question
from events.exceptions import BrokerUnavailable
from tests.patience import patiently

NOBODY = "nats://127.0.0.1:1"


def break_while_closing(client):
    """What was still to be sent cannot be sent: nats-py then ends its closing half way."""

    async def drain():
        raise ConnectionResetError("Connection lost")

    client._transport.drain = drain
    client._pending.append(b"PING\r\n")
    client._pending_data_size = 6


async def test_a_connection_that_breaks_while_it_is_closed_is_lost(nats_url):
    link = await Link.open(nats_url)
    assert not link.lost
    break_while_closing(link._client)
    await link._client._process_op_err(ConnectionResetError())
    assert link.lost
    with pytest.raises(BrokerUnavailable):
        await link.ask([Question("$JS.API.INFO")])


async def test_the_broker_makes_a_new_one(nats_url):
    broker = NatsBroker(nats_url)
    await broker.ping()
    link = broker.js._link
    break_while_closing(link._client)
    await link._client._process_op_err(ConnectionResetError())
    await broker.ping()
    assert broker.js._link is not link
    await broker.close()


async def test_doorbells_that_end_so_are_silent_and_say_it(nats_url):
    doorbells = await NatsDoorbells.open(nats_url)
    break_while_closing(doorbells._client)
    await doorbells._client._process_op_err(ConnectionResetError())
    with pytest.raises(BrokerUnavailable):
        async with asyncio.timeout(patiently(5)):
            await anext(aiter(doorbells))


@pytest.mark.parametrize("attempt", range(8))
async def test_where_one_of_the_servers_is_away_the_other_is_good(nats_url, attempt):
    link = await Link.open(f"{NOBODY},{nats_url}")
    assert not link.lost
    assert await link.ask([Question("$JS.API.INFO")])
    await link.close()
