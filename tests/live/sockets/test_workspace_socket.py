"""The workspace socket over two web processes: the printed client, order, cuts, a process killed, people put out, outsiders."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.conftest import Client, measured
from tests.live.processes import Stack, eventually
from tests.live.sockets.test_chat_socket import HERE, node, run
from tests.patience import patiently

__all__ = ["node"]

SECONDS = patiently(20)
Frame = dict[str, Any]


@pytest.fixture
def demo(stack: Stack, tokens: dict[str, str]) -> Client:
    """The admin of the demo organisation."""
    return Client(stack, tokens["demo"])


@pytest.fixture
async def workspace(demo: Client) -> str:
    """A workspace of this test alone, with all three."""
    made = await demo.request("POST", "/api/v1/workspaces", json={"organization": "org_demo", "name": "Live"})
    assert made.status_code == 201, made.text
    workspace = made.json()["id"]
    for name in ("alice", "bob"):
        await add(demo, workspace, name)
    return str(workspace)


async def add(client: Client, workspace: str, name: str) -> None:
    answer = await client.request("POST", f"/api/v1/workspaces/{workspace}/members", json={"user": f"user_{name}"})
    assert answer.status_code == 201, answer.text


class Member:
    """One connection of a member, and all that it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.cursor = ""
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                frame = json.loads(text)
                self.frames.append(frame)
                self.cursor = frame.get("id") or frame.get("cursor") or self.cursor
        except ConnectionClosed:
            pass

    async def say(self, n: Any, **more: Any) -> None:
        await self.socket.send(json.dumps({"type": "document_updated", "n": n} | more))

    def of(self, *types: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] in types]

    @property
    def numbers(self) -> list[Any]:
        return [frame["n"] for frame in self.of("document_updated")]


@asynccontextmanager
async def join(who: Client, workspace: str, *, at: int = 0, slash: str = "", **query: str) -> AsyncIterator[Member]:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    base = who.stack.addresses[at].replace("http", "ws", 1)
    async with connect(f"{base}/ws/workspaces/{workspace}{slash}?token={who.token}{more}") as socket:
        member = Member(socket)
        await eventually(lambda: member.of("workspace_state") or member.task.done(), within=SECONDS, what="the state")
        yield member
        member.task.cancel()


async def told(member: Member, numbers: list[Any]) -> None:
    await eventually(lambda: member.numbers == numbers or len(member.numbers) > len(numbers), within=SECONDS, what=f"{numbers}")
    assert member.numbers == numbers


async def test_the_javascript_client_of_the_document(
    stack: Stack, alice: Client, bob: Client, workspace: str, node: list[str]
) -> None:
    host = stack.addresses[0].removeprefix("http://")
    client = asyncio.create_task(run(*node, str(HERE / "seed_workspace_client.mjs"), host, alice.token, workspace))
    base = {"workspace_id": workspace, "user_id": "user_alice", "origin": "member"}
    async with join(bob, workspace, at=1) as watcher:
        # The client may come before this one or after it: only who was there already sees the other come.
        await eventually(
            lambda: len(watcher.of("workspace_state", "user_joined")) > 1 or _has(watcher, "user_alice"),
            within=SECONDS,
            what="alice",
        )
    async with join(bob, workspace, at=1) as watcher:
        await eventually(lambda: watcher.of("document_updated"), within=SECONDS, what="the broadcast")
        (frame,) = watcher.of("document_updated")
        assert frame.items() >= (base | {"document_id": "doc-456", "action": "edited"}).items()
        await watcher.say(1)
        code, out, err = await client
    assert code == 0, out + err
    assert out.splitlines() == ["user_bob joined the workspace", "refreshed"]


def _has(member: Member, user: str) -> bool:
    return any(each["user_id"] == user for each in member.of("workspace_state")[0]["members"])


def _has_read(member: Member, enough: int) -> bool:
    return len(member.numbers) >= enough


@pytest.mark.parametrize("slash", ["", "/"])
async def test_who_comes_and_goes_is_told_across_processes(alice: Client, bob: Client, workspace: str, slash: str) -> None:
    async with join(alice, workspace, slash=slash) as watcher:
        async with join(bob, workspace, at=1) as first, join(bob, workspace, at=0) as second:
            for each in (first, second):
                assert _has(each, "user_alice")
                assert _has(each, "user_bob")
        await eventually(lambda: watcher.of("user_left"), within=SECONDS, what="bob leaves")
        seen = [(frame["type"], frame["user_id"]) for frame in watcher.of("user_joined", "user_left")]
        assert seen == [("user_joined", "user_bob"), ("user_left", "user_bob")]


async def test_senders_in_two_processes_are_told_in_one_order_to_everybody_but_themselves(
    alice: Client, bob: Client, demo: Client, workspace: str
) -> None:
    async with (
        join(alice, workspace, at=0) as ann,
        join(alice, workspace, at=1) as tab,
        join(bob, workspace, at=1) as bob_,
        join(demo, workspace, at=0) as watcher,
    ):
        for n in range(50):
            await asyncio.gather(ann.say(f"a{n}"), bob_.say(f"b{n}"))
        await eventually(lambda: len(watcher.numbers) == 100, within=SECONDS, what="all broadcasts")
        order = watcher.numbers
        assert [each for each in order if each.startswith("a")] == [f"a{n}" for n in range(50)]
        await told(tab, order)
        await told(ann, [each for each in order if each.startswith("b")])
        await told(bob_, [each for each in order if each.startswith("a")])
        ids = [tuple(map(int, frame["id"].split("-"))) for frame in watcher.of("document_updated")]
        assert ids == sorted(set(ids))


async def test_a_reader_that_is_cut_over_and_over_is_told_each_broadcast_once_in_order(
    alice: Client, bob: Client, workspace: str
) -> None:
    total, got, cursor = 100, [], "0-0"
    chance = random.Random(4)

    async def speak() -> None:
        async with join(alice, workspace, at=0) as speaker:
            for n in range(total):
                await speaker.say(n, ref=n)
                await eventually(lambda n=n: len(speaker.of("accepted")) > n, within=SECONDS, what="a receipt")  # type: ignore[misc]

    speaking = asyncio.create_task(speak())
    cuts = 0
    while len(got) < total:
        async with join(bob, workspace, at=cuts % 2, since=cursor) as reader:
            enough = min(chance.randrange(1, 12), total - len(got))
            await eventually(partial(_has_read, reader, enough), within=SECONDS, what="more")
            reader.socket.transport.abort()
            assert reader.of("backlog.truncated") == []
            got += reader.numbers
            cursor = reader.cursor
        cuts += 1
    await speaking
    assert got == list(range(total))
    assert cuts > 8


async def test_a_sender_that_comes_back_under_its_name_is_not_told_its_own(alice: Client, bob: Client, workspace: str) -> None:
    async with join(alice, workspace, client="tab-1") as ann:
        cursor = ann.cursor
        await ann.say(1)
        async with join(bob, workspace, at=1, since=cursor) as other:
            await told(other, [1])
            await other.say(2)
            await told(ann, [2])
    async with (
        join(alice, workspace, at=1, client="tab-1", since=cursor) as back,
        join(alice, workspace, at=1, client="tab-2", since=cursor) as tab,
    ):
        await told(tab, [1, 2])
        await told(back, [2])


async def test_when_the_process_is_killed_nothing_is_lost_and_who_was_on_it_leaves(
    stack: Stack, alice: Client, bob: Client, demo: Client, workspace: str
) -> None:
    async with join(alice, workspace, at=0) as watcher, join(demo, workspace, at=1), join(bob, workspace, at=1) as reader:
        await watcher.say(1)
        await told(reader, [1])
        began = time.monotonic()
        stack.webs[1].kill()
        await watcher.say(2)
        async with join(bob, workspace, at=0, since=reader.cursor) as back:
            await watcher.say(3)
            await told(back, [2, 3])
            # demo had one connection, on the process that died.
            await eventually(
                lambda: "user_demo" in {frame["user_id"] for frame in watcher.of("user_left")}, within=30, what="demo left"
            )
            measured("a user of a killed process is told to have left after", time.monotonic() - began)
            assert "user_bob" not in {frame["user_id"] for frame in watcher.of("user_left")}
            await back.socket.send(json.dumps({"type": "workspace_state"}))
            await eventually(lambda: len(back.of("workspace_state")) == 2, within=SECONDS, what="the state")
            assert {each["user_id"] for each in back.of("workspace_state")[1]["members"]} == {"user_alice", "user_bob"}


async def test_who_is_removed_is_put_out_within_a_second_wherever_he_is(
    alice: Client, bob: Client, demo: Client, workspace: str
) -> None:
    async with (
        join(alice, workspace, at=0) as ann,
        join(bob, workspace, at=0) as one,
        join(bob, workspace, at=1) as other,
    ):
        began = time.monotonic()
        answer = await demo.request("DELETE", f"/api/v1/workspaces/{workspace}/members/user_bob", at=1)
        assert answer.status_code == 204
        # Once the others are told of it they can speak freely.
        await eventually(lambda: ann.of("member_removed"), within=SECONDS, what="the removal")
        await ann.say("secret")
        async with asyncio.timeout(patiently(5)):
            await asyncio.gather(one.socket.wait_closed(), other.socket.wait_closed())
        seconds = time.monotonic() - began
        measured("a removed member is put out after", seconds)
        assert seconds < patiently(1)
        for each in (one, other):
            assert (each.socket.close_code, each.socket.close_reason) == (1008, "Forbidden")
            assert each.numbers == []
        await eventually(lambda: ann.of("user_left"), within=SECONDS, what="bob leaves")
    async with join(bob, workspace, since="0-0") as again:
        await again.socket.wait_closed()
        assert (again.socket.close_code, again.frames) == (1008, [])


@pytest.mark.parametrize("made", [True, False])
async def test_an_outsider_is_told_nothing_and_not_even_that_there_is_a_workspace(
    stack: Stack, demo: Client, bob: Client, made: bool
) -> None:
    workspace = "ws_none"
    if made:
        body = {"organization": "org_demo", "name": "Closed"}
        workspace = (await demo.request("POST", "/api/v1/workspaces", json=body)).json()["id"]
    async with join(bob, workspace, since="0-0") as outsider:
        await outsider.socket.wait_closed()
        assert (outsider.socket.close_code, outsider.socket.close_reason, outsider.frames) == (1008, "Forbidden", [])


async def test_what_the_server_tells_comes_once_after_it_really_happened(
    stack: Stack, alice: Client, demo: Client, workspace: str
) -> None:
    async with join(alice, workspace, at=0) as ann, join(alice, workspace, at=1) as tab:
        source = {
            "name": "tea.md",
            "text": "Green tea is steeped at 80 degrees.",
            "organization": "org_demo",
            "embedding_model": "hashing",
        }
        created = (await demo.request("POST", "/api/v1/sources", json=source, at=1)).json()["id"]

        await eventually(lambda: ann.of("document_updated"), within=SECONDS, what="the source")
        assert (await demo.request("DELETE", f"/api/v1/sources/{created}")).status_code == 204
        for each in (ann, tab):
            await eventually(lambda each=each: len(each.of("document_updated")) == 2, within=SECONDS, what="both changes")  # type: ignore[misc]
            seen = [
                (frame["document_id"], frame["action"], frame["user_id"], frame["origin"])
                for frame in each.of("document_updated")
            ]
            assert seen == [(created, action, "user_demo", "server") for action in ("added", "deleted")]


async def test_a_token_of_nobody_is_refused(stack: Stack, alice: Client, workspace: str) -> None:
    async with join(Client(stack, "rubbish"), workspace) as member:
        await member.socket.wait_closed()
        assert (member.socket.close_code, member.socket.close_reason) == (1008, "Invalid token")
