"""The chat socket over two web processes: the printed clients, every cut, a process killed, people in one session."""

import asyncio
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.live.conftest import Client, words
from tests.live.processes import Stack
from tests.patience import patiently
from tests.providers import StubProvider
from tests.proxies import Proxy

SECONDS = patiently(20)
HERE = Path(__file__).parent
Frame = dict[str, Any]


def address(client: Client, session: str, *, at: int = 0, slash: str = "") -> str:
    base = client.stack.addresses[at].replace("http", "ws", 1)
    return f"{base}/ws/chat/{session}{slash}?token={client.token}"


@asynccontextmanager
async def chat_socket(client: Client, session: str, *, at: int = 0, slash: str = "") -> AsyncIterator[ClientConnection]:
    async with connect(address(client, session, at=at, slash=slash)) as socket:
        assert (await read(socket))["type"] == "connected"
        yield socket


async def read(socket: ClientConnection) -> Frame:
    async with asyncio.timeout(SECONDS):
        return json.loads(await socket.recv())  # type: ignore[no-any-return]


async def say(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def read_until(socket: ClientConnection, *types: str) -> list[Frame]:
    frames = [await read(socket)]
    while frames[-1]["type"] not in types:
        frames.append(await read(socket))
    return frames


def script(*steps: Frame) -> str:
    return f"!script {json.dumps(steps)}"


def text(frames: list[Frame]) -> str:
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")


@pytest.fixture
def session() -> str:
    return f"session-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def node() -> list[str]:
    """The command of a Node with WebSocket: before its version 22 behind a flag."""
    path = shutil.which("node")
    if path is None:
        if os.environ.get("CI") == "1":
            pytest.fail("there is no node (CI=1 wants it)")
        pytest.skip("there is no node")
    return [path, "--experimental-websocket", "--no-warnings"]


async def run(*command: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_python_client_of_the_document(alice: Client, provider: StubProvider, session: str) -> None:
    said = [{"text": "Based on the Q4 report, "}, {"text": "revenue rose."}]
    provider.scripts["stub-model"] = [*said, {"finish": "stop"}, {"usage": [3, 12]}, {"done": True}]
    host = alice.stack.addresses[0].removeprefix("http://")
    code, out, err = await run(sys.executable, str(HERE / "seed_chat_client.py"), host, alice.token, session, "app_demo")
    assert code == 0, err
    assert out.startswith(f"Connected: {{'type': 'connected', 'user_id': 'user_alice', 'session_id': '{session}'")
    assert "Based on the Q4 report, revenue rose.\n\nTokens used: 12" in out


async def test_the_javascript_client_of_the_document(
    alice: Client, bob: Client, provider: StubProvider, session: str, node: list[str]
) -> None:
    await share(alice, bob, session)
    host = alice.stack.addresses[0].removeprefix("http://")
    provider.scripts["stub-model"] = [{"tokens": 20, "per_second": 20}, {"finish": "stop"}, {"usage": [3, 20]}, {"done": True}]
    client = asyncio.create_task(run(*node, str(HERE / "seed_chat_client.mjs"), host, alice.token, session, "app_demo"))
    async with chat_socket(bob, session, at=1) as other:
        frames = await read_until(other, "typing")
        await say(other, type="typing")
        frames += await read_until(other, "response_end")
    code, out, err = await client
    assert code == 0, err
    seen = json.loads(out.splitlines()[-1])
    assert "AI is responding..." in out
    assert "Done. Tokens: 20" in out
    assert (seen["text"], seen["typing"]) == (words(20), ["user_bob"])
    assert {"chat", "typing", "response_start", "text-delta", "response_end"} <= {frame["type"] for frame in frames}
    assert text(frames) == words(20)


async def test_the_reconnecting_client_of_the_document_goes_on_with_the_answer(
    alice: Client, session: str, node: list[str]
) -> None:
    url = urlsplit(address(alice, session))
    with Proxy("127.0.0.1", url.port or 0) as proxy:
        cuttable = urlunsplit(url._replace(netloc=f"127.0.0.1:{proxy.port}"))
        process = await asyncio.create_subprocess_exec(
            *node, str(HERE / "seed_reconnecting.mjs"), cuttable, stdout=asyncio.subprocess.PIPE
        )
        try:
            await line_with(process, '"connected"')
            async with chat_socket(alice, session, at=1) as other:
                await say(other, type="chat", content=script({"tokens": 120, "per_second": 20}))
                await line_with(process, '"text-delta"')
                proxy.cut()
                # Not longer: an old Node tells nothing of a connection that it could not make, and the client waits for ever.
                proxy.restore()
                await line_with(process, "Reconnecting in 1000ms...")
                await line_with(process, '"connected"')
                end = json.loads(await line_with(process, '"response_end"'))
            assert end["full_response"] == words(120)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def line_with(process: asyncio.subprocess.Process, part: str) -> str:
    """The next line of a process's output that holds this."""
    assert process.stdout is not None
    async with asyncio.timeout(2 * SECONDS):
        while True:
            line = (await process.stdout.readline()).decode()
            assert line, "the client has ended"
            if part in line:
                return line


@pytest.mark.parametrize("slash", ["", "/"])
async def test_cut_after_every_frame_and_resumed_on_another_process_it_is_the_same(
    alice: Client, session: str, slash: str
) -> None:
    async with chat_socket(alice, session, slash=slash) as socket:
        await say(socket, type="chat", content=script({"tokens": 40, "per_second": 40}))
        start = await read(socket)
    told, since, connections = [start], start["seq"], 1
    while told[-1]["type"] != "response_end":
        async with chat_socket(alice, session, at=connections % 2, slash=slash) as socket:
            await say(socket, type="resume", message_id=start["message_id"], since=since)
            told.append(await read(socket))
        assert told[-1]["seq"] > since
        since, connections = told[-1]["seq"], connections + 1
    assert connections > 4
    assert text(told) == told[-1]["full_response"] == words(40)


async def test_the_process_that_held_it_is_killed_and_the_answer_goes_on_elsewhere(
    stack: Stack, alice: Client, session: str
) -> None:
    told: list[Frame] = []
    async with connect(address(alice, session)) as socket:
        await read(socket)
        await say(socket, type="chat", content=script({"tokens": 100, "per_second": 25}))
        while len(text(told)) < 60:
            told.append(await read(socket))
        stack.webs[0].kill()
    async with chat_socket(alice, session, at=1) as socket:
        await say(socket, type="resume", message_id=told[0]["message_id"], since=told[-1]["seq"])
        told += await read_until(socket, "response_end")
    assert text(told) == told[-1]["full_response"] == words(100)
    assert [frame["seq"] for frame in told] == sorted({frame["seq"] for frame in told})


async def test_an_answer_goes_on_while_the_broker_is_away_and_what_begins_afterwards_is_heard(
    stack: Stack, alice: Client, bob: Client, session: str
) -> None:
    await share(alice, bob, session)
    async with chat_socket(alice, session) as hers, chat_socket(bob, session, at=1) as his:
        await say(hers, type="chat", content=script({"tokens": 150, "per_second": 25}))
        told = [await read(hers) for _ in range(5)]
        await stack.kill_broker()
        told += [await read(hers) for _ in range(3)]
        await stack.start_broker()
        told += await read_until(hers, "response_end")
        assert text(told) == told[-1]["full_response"] == words(150)
        assert text(await read_until(his, "response_end")) == words(150)
        # Its own feed is gone with the broker; the others hear of a new answer nevertheless.
        await say(hers, type="chat", content=script({"tokens": 3}))
        assert text(await read_until(hers, "response_end")) == words(3)
        assert text(await read_until(his, "response_end")) == words(3)


async def test_people_in_one_session_see_each_other_over_both_processes(alice: Client, bob: Client, session: str) -> None:
    await share(alice, bob, session)
    async with chat_socket(bob, session, at=1) as his:
        async with chat_socket(alice, session) as hers:
            await say(hers, type="typing")
            assert (await read(his)).items() >= {"type": "typing", "user_id": "user_alice"}.items()
            await say(hers, type="chat", content=script({"tokens": 5}))
            own = await read_until(hers, "response_end")
            seen = await read_until(his, "response_end")
        assert [frame["type"] for frame in seen if frame["type"] != "typing_stopped"][:2] == ["chat", "response_start"]
        assert text(seen) == text(own) == words(5)
        assert (await read_until_left(his))["user_id"] == "user_alice"


async def test_who_was_held_by_a_killed_process_is_said_to_have_left(
    stack: Stack, alice: Client, bob: Client, session: str
) -> None:
    await share(alice, bob, session)
    doomed = stack.start_web(PRESENCE_SECONDS="2")
    stack.wait_ready()
    try:
        async with chat_socket(bob, session) as his:
            async with connect(address(alice, session, at=-1)) as hers:
                await read(hers)
                doomed.kill()
            assert (await read_until_left(his))["user_id"] == "user_alice"
    finally:
        stack.webs.remove(doomed)
        stack.addresses.pop()


async def read_until_left(socket: ClientConnection) -> Frame:
    """The frame that says that somebody left: where a lease must run out, only then (also after a broker that was emptied)."""
    async with asyncio.timeout(patiently(60)):
        async for message in socket:
            frame: Frame = json.loads(message)
            if frame["type"] == "user_disconnected":
                return frame
    raise AssertionError("closed")


async def share(owner: Client, other: Client, session: str) -> None:
    """Lets bob take part in the owner's session."""
    del other
    path = f"/api/v1/chat/sessions/{session}/participants"
    answer = await owner.request("POST", path, json={"user": "user_bob"})
    assert answer.status_code == 200, answer.text
