"""A subscriber that does not pong is closed and cleaned up; one that does hears on."""

import asyncio
import json
import re

import httpx

from tests.live.conftest import Client
from tests.live.processes import Stack, eventually
from tests.live.sockets.peers import Peer, Raw
from tests.patience import patiently

TOPIC = "events.org_demo.silence.task.done.x"


async def open_sockets(address: str) -> int:
    async with httpx.AsyncClient(timeout=20) as client:
        found = re.search(r"^throughline_open_sockets (\S+)$", (await client.get(f"{address}/metrics")).text, re.MULTILINE)
    return int(float(found[1])) if found else 0


async def test_a_subscriber_that_does_not_pong_is_closed_and_cleaned_up(stack: Stack, tokens: dict[str, str]) -> None:
    child = stack.start_web(SOCKET_PING_SECONDS="1", SOCKET_PONG_SECONDS="2")
    try:
        stack.wait_ready()
        address = stack.addresses[-1]
        silent = Raw(stack, f"/ws/events?token={tokens['alice']}", at=-1)
        silent.socket.settimeout(patiently(30))
        subscription = {"action": "subscribe", "topics": [TOPIC]}
        silent.send(0x1, json.dumps(subscription).encode())
        while (told := silent.message())[0] != 0x1:
            assert told[0] == 0x9, "only pings before the answer"
        assert json.loads(told[1])["type"] == "subscribed"
        # Its library answers each ping.
        async with Peer(stack, "/ws/events", token=tokens["bob"], at=-1) as lively:
            await lively.next()
            assert (await lively.answer(subscription))["type"] == "subscribed"
            code, _ = await asyncio.to_thread(silent.closed)
            assert code == 1011
            await eventually(lambda: _is_one(address), within=30, what="the silent one to be cleaned up")
            publisher = Client(stack, tokens["demo"])
            answer = await publisher.request("POST", "/api/v1/topics/publish", json={"topic": TOPIC, "payload": {"n": 1}})
            assert answer.status_code == 202, answer.text
            assert (await lively.next(seconds=30))["event"]["payload"] == {"n": 1}
        silent.close()
    finally:
        child.kill()
        stack.webs.remove(child)
        stack.addresses.pop()


async def _is_one(address: str) -> bool:
    return await open_sockets(address) == 1
