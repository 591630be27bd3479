"""What every socket does, seen from outside: real processes, a real client."""

import asyncio
import contextlib
import json
import re
import secrets
import signal
import struct
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from tests.live.conftest import USERS, log_in, measured
from tests.live.processes import Stack, eventually
from tests.live.sockets.peers import Peer, Raw
from tests.patience import patiently

SETTINGS = {
    "SOCKETS_PER_USER": "0",
    "SOCKET_AUTH_SECONDS": "1",
    "SOCKET_WRITE_TIMEOUT": "2",
    "SOCKET_PING_SECONDS": "1",
    "SOCKET_PONG_SECONDS": "3",
}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def base_stack() -> Iterator[Stack]:
    stack = Stack(settings=SETTINGS, application="tests.live.sockets.application:application")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(base_stack: Stack) -> Iterator[Stack]:
    base_stack.mark_logs()
    yield base_stack
    base_stack.heal()


@pytest.fixture(scope="module")
def tokens(base_stack: Stack) -> dict[str, str]:
    return {name: log_in(base_stack, name) for name in USERS}


async def publish(stack: Stack, token: str, user: str, count: int, **payload: Any) -> None:
    items = [{"user": user, "type": "notification.created", "payload": {"n": n, **payload}} for n in range(count)]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        for start in range(0, count, 100):
            answer = await client.post(f"{stack.addresses[0]}/api/v1/events", json=items[start : start + 100])
            assert answer.status_code == 202, answer.text


def user_id(stack: Stack, token: str) -> str:
    answer = httpx.get(f"{stack.addresses[0]}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    return str(answer.json()["id"])


async def test_refusals_are_closes_with_code_and_reason(stack: Stack, tokens: dict[str, str]) -> None:
    for path, token, outcome in (
        ("/ws/base/room", "rubbish", (1008, "Invalid token")),
        ("/ws/base/room", "", (1008, "Invalid token")),  # after SOCKET_AUTH_SECONDS
        ("/ws/base/forbidden", tokens["alice"], (1008, "Forbidden")),
        ("/ws/nowhere", tokens["alice"], (4404, "There is no WebSocket at this address.")),
        ("/nowhere/else/", "", (4404, "There is no WebSocket at this address.")),
    ):
        async with Peer(stack, path, token=token) as peer:
            assert await peer.closed() == outcome, path
    assert "Traceback" not in stack.logs()


async def test_the_token_may_come_as_a_subprotocol_or_as_the_first_frame(stack: Stack, tokens: dict[str, str]) -> None:
    async with Peer(stack, subprotocols=["bearer", tokens["alice"]]) as peer:
        assert peer.socket.subprotocol == "bearer"
        assert (await peer.next())["type"] == "connected"
    async with Peer(stack) as peer:
        assert (await peer.answer({"type": "auth", "token": tokens["alice"]}))["type"] == "connected"


async def test_broadcasts_cross_processes(stack: Stack, tokens: dict[str, str]) -> None:
    async with Peer(stack, token=tokens["alice"]) as one, Peer(stack, token=tokens["bob"], at=1) as other:
        await one.next()
        await other.next()
        await one.say({"type": "say", "what": "x"})
        assert await other.next() == {"type": "said", "what": "x"}


async def test_a_revoked_key_ends_open_sockets_of_all_processes_within_a_second(stack: Stack, tokens: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens['bob']}"}
    async with httpx.AsyncClient(headers=headers, base_url=stack.addresses[0]) as client:
        made = (await client.post("/api/v1/auth/api-keys", json={"name": "revoked soon"})).json()
        async with Peer(stack, token=made["key"]) as one, Peer(stack, token=made["key"], at=1) as other:
            await one.next()
            await other.next()
            began = time.monotonic()
            assert (await client.delete(f"/api/v1/auth/api-keys/{made['id']}")).status_code == 204
            outcomes = await asyncio.gather(one.closed(), other.closed())
            seconds = time.monotonic() - began
    measured("a revoked API key ends the sockets of two processes", seconds)
    assert outcomes == [(1008, "Invalid token")] * 2
    assert seconds < patiently(1)


async def test_what_is_too_large_or_not_utf8_is_closed_with_a_reason(stack: Stack, tokens: dict[str, str]) -> None:
    async with Peer(stack, token=tokens["alice"]) as peer:
        await peer.next()
        await peer.say({"type": "ping", "x": "y" * 65536})
        code, reason = await peer.closed()
        assert code == 1009
        assert reason
    raw = Raw(stack, f"/ws/base/room?token={tokens['alice']}")
    raw.send(0x1, b"\xff\xfe{")
    assert raw.closed() == (1007, "The text is not UTF-8")
    raw = Raw(stack, f"/ws/base/room?token={tokens['alice']}")
    raw.send(0x1, b"{", fin=False)
    raw.send(0x0, b"", fin=False)
    raw.send(0x0, b'"type":"ping"}')
    assert json.loads(raw.message()[1])["type"] == "pong"
    raw.close()
    assert "Traceback" not in stack.logs()


async def test_one_who_floods_is_told_then_closed_and_others_do_not_notice(stack: Stack, tokens: dict[str, str]) -> None:
    slowest = 0.0
    async with Peer(stack, token=tokens["bob"]) as calm, Peer(stack, token=tokens["alice"]) as flooder:
        await calm.next()
        await flooder.next()

        async def flood() -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(50_000):
                    await flooder.say('{"type":"ping"}')

        flooding = asyncio.create_task(flood())
        frames: list[str] = []
        with contextlib.suppress(ConnectionClosed):
            async for text in flooder.socket:
                frames.append(json.loads(text)["type"])
                if len(frames) % 50 == 0:
                    began = time.monotonic()
                    await calm.answer({"type": "ping"})
                    slowest = max(slowest, time.monotonic() - began)
        await flooding
        assert flooder.socket.close_code == 4429
        assert flooder.socket.close_reason
        assert frames.count("error") == 1
        assert (await calm.answer({"type": "ping"}))["type"] == "pong"
    measured("slowest answer to another socket while one floods", slowest)
    assert slowest < 1
    raw = Raw(stack, f"/ws/base/room?token={tokens['alice']}")
    answers = [(0xA, b"")]
    while answers[-1][0] == 0xA:
        # Ten at once, and their pongs: what is sent behind the server's close would make the system drop the close frame.
        raw.socket.sendall(raw.frame(0x9, b"x") * 10)
        answers = [raw.message() for _ in range(10)]
    code = struct.pack("!H", 4429)
    assert any(opcode == 0x8 and data.startswith(code) for opcode, data in answers), "pings of the protocol count as well"


async def test_one_that_never_reads_costs_nothing_and_holds_up_nobody(stack: Stack, tokens: dict[str, str]) -> None:
    user, admin = user_id(stack, tokens["alice"]), tokens["demo"]
    path = f"/ws/base/room?stream=user:{user}&since=0"
    web = psutil.Process(stack.webs[0].pid)
    async with Peer(stack, path, token=tokens["alice"], max_queue=None) as reader:
        assert (await reader.next())["type"] == "connected"
        deaf = [Raw(stack, f"{path}&token={tokens['alice']}", receive_buffer=4096) for _ in range(20)]
        before = web.memory_info().rss
        await publish(stack, admin, user, 1000, text="x" * 5000)
        numbers: list[int] = []
        while len(numbers) < 1000:
            frame = await reader.next()
            if frame.get("event") == "notification.created" and "text" in json.dumps(frame):
                numbers.append(frame["data"].get("payload", frame["data"])["n"])
        grown = web.memory_info().rss - before
        assert numbers == list(range(1000)), "the one who reads misses nothing meanwhile"
        assert grown < 40 * 2**20, f"grown by {grown / 2**20:.0f} MiB"

        # Given up after SOCKET_WRITE_TIMEOUT, aborted a little later, though they still hold their end.
        deaf_ports = {each.socket.getsockname()[1] for each in deaf}
        await eventually(
            lambda: not deaf_ports & {each.raddr.port for each in web.net_connections("tcp") if each.raddr},
            within=20,
            what="those who took nothing are gone",
        )
        await eventually_alone(reader)
    for each in deaf:
        each.close()
    assert "Traceback" not in stack.logs()


@pytest.mark.parametrize(
    ("opcode", "ping"), [(0x9, b"x" * 125), (0x1, b'{"type":"ping","ref":"%s"}' % (b"x" * 95))], ids=["protocol", "frames"]
)
async def test_one_that_pings_and_never_reads_the_pongs_costs_nothing(
    stack: Stack, tokens: dict[str, str], opcode: int, ping: bytes
) -> None:
    """Where nothing limits how many it sends: what it does not take is not kept for it, and it is gone soon."""
    child = stack.start_web(SOCKET_FRAMES_PER_SECOND="0", SOCKET_PING_SECONDS="4", SOCKET_PONG_SECONDS="4")
    try:
        stack.wait_ready()
        web = psutil.Process(child.pid)
        async with Peer(stack, token=tokens["bob"], at=-1) as calm:
            await calm.next()
            deaf = Raw(stack, f"/ws/base/room?token={tokens['alice']}", at=-1, receive_buffer=4096)
            port, many = deaf.socket.getsockname()[1], Raw.frame(opcode, ping) * 500
            before = web.memory_info().rss

            def flood() -> None:
                with contextlib.suppress(OSError):
                    for _ in range(400):
                        deaf.socket.sendall(many)

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            await eventually(lambda: flooding.done(), within=60, what="all pings sent, or the connection gone")
            grown = web.memory_info().rss - before
            await eventually(
                lambda: port not in {each.raddr.port for each in web.net_connections("tcp") if each.raddr},
                within=30,
                what="the one who takes nothing to be gone",
            )
            assert (await calm.answer({"type": "ping"}))["type"] == "pong"
            await eventually_alone(calm)
        deaf.close()
        # 200,000 pongs are 25 MiB, and the system itself holds some MiB of them.
        assert grown < 12 * 2**20, f"grown by {grown / 2**20:.0f} MiB"
        assert "Traceback" not in stack.logs()
    finally:
        child.kill()
        stack.webs.remove(child)
        stack.addresses.pop()


async def eventually_alone(peer: Peer) -> None:
    """Waits until the process holds no task of any other socket; fails after 20 s."""
    async with asyncio.timeout(patiently(20)):
        while True:
            await peer.say({"type": "tasks"})
            while (frame := await peer.next())["type"] != "tasks":
                pass
            if len(frame["names"]) <= 1:
                return
            await asyncio.sleep(0.2)


async def test_a_stopping_process_closes_between_two_frames_and_the_cursor_leads_on(stack: Stack, tokens: dict[str, str]) -> None:
    user, admin = user_id(stack, tokens["bob"]), tokens["demo"]
    mark = secrets.token_hex(4)
    publishing = asyncio.create_task(publish(stack, admin, user, 600, mark=mark))
    numbers: list[int] = []
    cursor, codes, at = "0-0", set(), 1
    while len(numbers) < 600:
        async with Peer(stack, f"/ws/base/room?stream=user:{user}&since={cursor}", token=tokens["bob"], at=at) as peer:
            with contextlib.suppress(ConnectionClosed):
                async for text in peer.socket:
                    frame = json.loads(text)
                    if frame["type"] != "event":
                        continue
                    cursor = frame["id"]
                    payload = frame["data"].get("payload", frame["data"])
                    if payload.get("mark") == mark:
                        numbers.append(payload["n"])
                    if len(numbers) == 100 and at == 1:
                        stack.webs[1].process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
                    if len(numbers) >= 600:
                        break
                else:
                    raise AssertionError("closed without a code")
            if len(numbers) < 600:
                codes.add((peer.socket.close_code, peer.socket.close_reason))
            at = 0
    await publishing
    assert numbers == list(range(600))
    assert codes == {(1012, "The server restarts: come back with your cursor")}
    assert "Traceback" not in stack.logs()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)
BASE_KINDS = ["ping", "auth", "say", "tasks", "slow", "nonsense", "on_text", "text", "", "__call__"]
CHAT_KINDS = ["chat", "message", "cancel", "resume", "typing", "typing_stopped"]
WORKSPACE_KINDS = ["workspace_state", "document_updated", "application_changed", "member_added"]
KINDS = st.sampled_from([*BASE_KINDS, *CHAT_KINDS, *WORKSPACE_KINDS])
FIELDS = st.sampled_from(
    ["token", "what", "ref", "x", "id", "content", "chat_id", "application_id", "message_id", "since", "attachments", "client"]
)
FRAMES = st.one_of(
    st.binary(max_size=300).map(lambda data: (0x1, data)),
    st.binary(max_size=300).map(lambda data: (0x2, data)),
    st.text(max_size=300).map(lambda text: (0x1, text.encode("utf-8", "surrogatepass"))),
    JSON.map(lambda value: (0x1, json.dumps(value).encode())),
    st.tuples(KINDS, st.dictionaries(FIELDS, JSON, max_size=4)).map(
        lambda parts: (0x1, json.dumps({"type": parts[0], **parts[1]}).encode())
    ),
    st.integers(1, 5000).map(lambda depth: (0x1, b'{"type":"ping","x":' + b"[" * depth + b"]" * depth + b"}")),
    st.sampled_from([65535, 65536, 65537, 200_000]).map(lambda size: (0x1, b'"' + b"x" * (size - 2) + b'"')),
    st.tuples(st.integers(0x3, 0xF), st.binary(max_size=130)),
)


@pytest.mark.parametrize(
    ("path", "examples"),
    [("/ws/base/fuzz", 150), ("/ws/chat/fuzz", 60), ("/ws/workspaces/ws_demo", 60), ("/ws/notifications/user_alice", 30)],
)
def test_whatever_a_client_sends_it_is_answered_or_closed_with_a_reason(
    stack: Stack, tokens: dict[str, str], path: str, examples: int
) -> None:
    address = f"{path}?token={tokens['alice']}"

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(FRAMES, st.booleans()), min_size=1, max_size=8))
    def fuzz(frames: list[tuple[tuple[int, bytes], bool]]) -> None:
        raw = Raw(stack, address)
        try:
            for (opcode, data), fin in frames:
                raw.send(opcode, data, fin=fin)
            raw.send(0x1, b'{"type":"ping","ref":"the last one"}')
            while True:
                opcode, data = raw.message()
                if opcode == 0x1 and json.loads(data).get("ref") == "the last one":
                    return
                if opcode == 0x8:
                    code, reason = (struct.unpack("!H", data[:2])[0], data[2:].decode()) if data else (1005, "")
                    # What the client closes itself is echoed as it came.
                    assert reason or any(sent[0] == 0x8 for sent, _ in frames), (code, frames)
                    return
                assert opcode, f"it ended without a close frame: {frames}"
        finally:
            raw.close()

    fuzz()
    logs = stack.logs()
    assert "Traceback" not in logs, logs
    assert not re.search(r" (ERROR|CRITICAL) ", logs), logs
