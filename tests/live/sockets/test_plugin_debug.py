"""The debug socket over two web processes: the printed client, cuts after every frame, a process killed, writers everywhere."""

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.live.conftest import Client
from tests.live.processes import Stack
from tests.live.sockets.test_chat_socket import HERE, node, run
from tests.patience import patiently

__all__ = ["node"]

SECONDS = patiently(20)
Frame = dict[str, Any]


@pytest.fixture
async def execution(alice: Client) -> str:
    plugin = await alice.request("POST", "/api/v1/plugins", json={"name": f"Weather {uuid.uuid4()}", "organization": "org_demo"})
    assert plugin.status_code == 201, plugin.text
    path = f"/api/v1/plugins/{plugin.json()['id']}/executions"
    made = await alice.request("POST", path, json={"tool_name": "forecast", "input": {"city": "Bergen"}})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def report(client: Client, execution: str, *events: tuple[str, Frame], key: str = "") -> Frame:
    path = f"/api/v1/plugins/executions/{execution}/events"
    body = {"events": [{"type": type_, "data": data} for type_, data in events]}
    answer = await client.request("POST", path, json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def address(stack: Stack, execution: str, *, at: int = 0, slash: str = "", since: int | None = None) -> str:
    query = "" if since is None else f"?since={since}"
    return f"{stack.addresses[at].replace('http', 'ws', 1)}/api/v1/ws/plugin/debug/{execution}{slash}{query}"


async def test_the_javascript_client_of_the_document(stack: Stack, alice: Client, execution: str, node: list[str]) -> None:
    host = stack.addresses[1].removeprefix("http://")
    client = asyncio.create_task(run(*node, str(HERE / "seed_plugin_debug.mjs"), host, execution))
    async with connect(address(stack, execution)) as beside:
        await beside.recv()
        await report(alice, execution, ("log", {"message": "Begins"}), ("step", {"name": "parse", "status": "started"}))
        await report(alice, execution, ("variable", {"name": "login", "value": {"password": "hunter2", "rows": 2}}))
        await report(alice, execution, ("execution_complete", {"result": {"rain": True}}))
    code, out, err = await client
    assert (code, err) == (0, "")
    lines = out.splitlines()
    # It may have come when a part of that was already history, which the document only mentions.
    assert lines[0] == "Debugging: forecast"
    assert lines[-2:] == ["Execution finished: { rain: true }", "pong"]
    live = ["log Begins", "step parse started", 'variable login = {"password":"***","rows":2}']
    assert live[len(live) - len(lines) + 3 :] == lines[1:-2]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_execution_that_is_not_there(stack: Stack, slash: str) -> None:
    async with connect(address(stack, str(uuid.uuid4()), slash=slash)) as socket:
        assert json.loads(await socket.recv())["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4404


async def read_until_end(stack: Stack, execution: str, *, cut_after: int) -> list[int]:
    """All numbers that a client sees which is cut off after every so many frames (0: never) and comes back elsewhere."""
    numbers: list[int] = []
    attempt = 0
    while True:
        attempt += 1
        try:
            async with (
                asyncio.timeout(SECONDS),
                connect(address(stack, execution, at=attempt % 2, since=numbers[-1] if numbers else 0)) as socket,
            ):
                read = 0
                async for text in socket:
                    frame = json.loads(text)
                    if "seq" not in frame:
                        continue
                    numbers.append(frame["seq"])
                    if frame["type"] == "execution_complete":
                        return numbers
                    read += 1
                    if read == cut_after:
                        break
        except (WebSocketException, OSError):
            await asyncio.sleep(0.1)


async def test_a_socket_that_is_cut_after_every_frame_misses_nothing(stack: Stack, alice: Client, execution: str) -> None:
    readers = [asyncio.create_task(read_until_end(stack, execution, cut_after=cut)) for cut in (1, 2, 5)]
    for number in range(15):
        await report(alice, execution, ("log", {"message": str(number)}), ("trace", {"n": number}), key=str(number))
    await report(alice, execution, ("execution_complete", {"result": 1}))
    for reader in readers:
        assert await reader == list(range(1, 32))


async def test_writers_in_two_processes_and_one_of_them_killed(stack: Stack, alice: Client, execution: str) -> None:
    """Each sender repeats what it had no answer to, with its key, wherever it can: no gap, no double, each batch in one piece."""
    reader = asyncio.create_task(read_until_end(stack, execution, cut_after=0))
    path = f"/api/v1/plugins/executions/{execution}/events"

    async def write(writer: int) -> None:
        for number in range(12):
            body = {"events": [{"type": "log", "data": {"message": f"{writer}:{number}:{part}"}} for part in range(3)]}
            for attempt in range(60):
                try:
                    answer = await alice.request(
                        "POST", path, json=body, at=(writer + attempt) % 2, headers={"Idempotency-Key": f"{writer}:{number}"}
                    )
                    assert answer.status_code in (200, 201), answer.text
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)

    writing = [asyncio.create_task(write(writer)) for writer in range(6)]
    await asyncio.sleep(0.3)
    stack.webs[1].kill()
    await asyncio.gather(*writing)
    await report(alice, execution, ("execution_complete", {"result": 1}))
    assert await reader == list(range(1, 6 * 12 * 3 + 2))
    rows = stack.query(
        "SELECT data->>'message' FROM events_journalevent e JOIN events_durablestream s ON s.id = e.stream_id "
        f"WHERE s.name = 'execution:{execution}' AND type = 'execution.log' ORDER BY seq"
    )
    messages = [message for (message,) in rows]
    assert len(set(messages)) == len(messages) == 216
    for start in range(0, 216, 3):
        assert [message.rpartition(":")[2] for message in messages[start : start + 3]] == ["0", "1", "2"]
