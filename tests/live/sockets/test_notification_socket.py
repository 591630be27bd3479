"""The notification socket over two web processes: every cut, a process killed, a backlog that is gone, a logout."""

import asyncio
import json
import secrets
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.conftest import Client
from tests.live.processes import Stack
from tests.live.sockets.conftest import Guest
from tests.patience import patiently

SECONDS = patiently(15)


@pytest.fixture
def staff(stack: Stack, tokens: dict[str, str]) -> Client:
    return Client(stack, tokens["demo"])


async def notify(staff: Client, guest: Guest, title: str, *, at: int = 0, **fields: Any) -> str:
    body = {"user": guest.id, "title": title, **fields}
    response = await staff.request("POST", "/api/v1/notifications", at=at, json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["ids"][0])


def address(guest: Guest, *, at: int = 0, since: str | None = None, token: str = "", slash: str = "") -> str:
    query = f"token={token or guest.token}" + (f"&since={since}" if since is not None else "")
    return f"{guest.stack.addresses[at].replace('http', 'ws', 1)}/ws/notifications/{guest.id}{slash}?{query}"


async def read(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        return json.loads(await socket.recv())  # type: ignore[no-any-return]


async def read_until(socket: ClientConnection, title: str) -> list[dict[str, Any]]:
    """The notifications up to one with this title."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["notification"]["title"] != title:
        frame = await read(socket)
        if frame["type"] == "notification":
            found.append(frame)
    return found


def titles(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["notification"]["title"] for frame in frames]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_what_one_process_accepts_is_told_by_the_other(staff: Client, guest: Guest, slash: str) -> None:
    async with connect(address(guest, at=1, slash=slash)) as socket:
        assert (await read(socket))["type"] == "connected"
        await notify(staff, guest, "Workflow completed", body="It finished.", action_url="/workflows/wf-123/results")
        frame = await read(socket)
    assert frame["type"] == "notification"
    assert frame["notification"] == {
        "title": "Workflow completed",
        "body": "It finished.",
        "action_url": "/workflows/wf-123/results",
    }


async def test_cut_after_every_frame_nothing_is_missed_and_nothing_told_twice(staff: Client, guest: Guest) -> None:
    mark = secrets.token_hex(4)
    wanted = [f"{mark} {number}" for number in range(20)]

    async def publish() -> None:
        for number, title in enumerate(wanted):
            await notify(staff, guest, title, at=number % 2)

    async with connect(address(guest)) as socket:
        cursor = (await read(socket))["cursor"]
    publishing = asyncio.create_task(publish())
    found: list[str] = []
    connections = 0
    while len(found) < len(wanted):
        async with connect(address(guest, at=connections % 2, since=cursor)) as socket:
            connections += 1
            assert (await read(socket))["cursor"] == cursor
            frame = await read(socket)
            cursor = frame["id"]
            found += titles([frame])
    await publishing
    assert found == wanted
    assert connections == len(wanted)


async def test_its_process_is_killed_and_the_other_goes_on_from_the_cursor(stack: Stack, staff: Client, guest: Guest) -> None:
    mark = secrets.token_hex(4)
    async with connect(address(guest, at=0)) as socket:
        await notify(staff, guest, f"{mark} before", at=1)
        (before,) = await read_until(socket, f"{mark} before")
        stack.webs[0].kill()
        with pytest.raises(ConnectionClosed):
            await read(socket)
    await notify(staff, guest, f"{mark} meanwhile", at=1)
    async with connect(address(guest, at=1, since=before["id"])) as socket:
        await notify(staff, guest, f"{mark} after", at=1)
        assert titles(await read_until(socket, f"{mark} after")) == [f"{mark} meanwhile", f"{mark} after"]


async def test_what_the_broker_forgot_is_told_and_the_inbox_still_has_it(stack: Stack, staff: Client, guest: Guest) -> None:
    mark = secrets.token_hex(4)
    async with connect(address(guest)) as socket:
        id = await notify(staff, guest, f"{mark} lost")
        (lost,) = await read_until(socket, f"{mark} lost")
    with stack.valkey_client() as valkey:
        valkey.delete(f"tl:{{user:{guest.id}}}")
    await notify(staff, guest, f"{mark} kept")
    async with connect(address(guest, at=1, since=lost["id"])) as socket:
        assert (await read(socket))["type"] == "connected"
        truncated, kept = await read(socket), await read(socket)
    assert truncated["type"] == "backlog.truncated"
    assert truncated["oldest_retained_id"] == kept["id"]
    assert titles([kept]) == [f"{mark} kept"]
    unseen = (await guest.request("GET", "/api/v1/notifications?state=unseen")).json()["results"]
    assert id in [each["id"] for each in unseen]


async def test_others_hear_nothing_and_foreign_addresses_are_closed(staff: Client, guest: Guest, other_guest: Guest) -> None:
    mark = secrets.token_hex(4)
    async with connect(address(other_guest)) as hers, connect(address(guest)) as his:
        await read(hers)
        await notify(staff, guest, f"{mark} for him")
        await read_until(his, f"{mark} for him")
        await hers.send('{"type":"ping"}')
        assert (await read(hers))["type"] == "pong"
    for foreign in (
        address(guest, token=other_guest.token),
        address(other_guest, token=guest.token),
        address(guest, token="nonsense"),
    ):
        async with connect(foreign) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await read(socket)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid token")  # type: ignore[union-attr]


async def test_a_retry_at_the_same_moment_notifies_once(stack: Stack, staff: Client, guest: Guest) -> None:
    key = secrets.token_hex(8)
    body = {"users": [guest.id, "user_alice", "user_demo"], "title": key, "idempotency_key": key}
    answers = await asyncio.gather(
        *(staff.request("POST", "/api/v1/notifications", at=number % 2, json=body) for number in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({tuple(answer.json()["ids"]) for answer in answers}) == 1
    async with connect(address(guest, since="0")) as socket:
        await notify(staff, guest, f"{key} end")
        assert titles(await read_until(socket, f"{key} end")).count(key) == 1


async def test_the_addresses_token_is_in_no_log(stack: Stack, guest: Guest) -> None:
    async with connect(address(guest)) as socket:
        await read(socket)
    assert guest.token not in stack.logs()
