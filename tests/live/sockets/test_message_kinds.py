"""Every kind of message that the tables of seed 004 name, over two web processes, with the fields that its examples show."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.live.conftest import Client
from tests.live.processes import Stack, eventually
from tests.live.sockets.conftest import Guest
from tests.live.sockets.test_chat_socket import chat_socket, read, read_until, read_until_left, say, script, session, share
from tests.live.sockets.test_notification_socket import address as notifications_address
from tests.live.sockets.test_notification_socket import notify, staff
from tests.live.sockets.test_plugin_debug import address as debug_address
from tests.live.sockets.test_plugin_debug import execution, report
from tests.live.sockets.test_workspace_socket import Member, add, demo, join, workspace
from tests.patience import patiently

__all__ = ["demo", "execution", "session", "staff", "workspace"]

SECONDS = patiently(20)


async def test_chat(alice: Client, bob: Client, session: str) -> None:
    await share(alice, bob, session)
    async with chat_socket(bob, session, at=1) as his:
        async with chat_socket(alice, session) as hers:
            await say(his, type="typing")
            seen = await read_until(hers, "typing")
            steps = [{"sources": [{"title": "Q4", "text": "Revenue rose."}]}, {"text": "It "}, {"text": "rose."}]
            await say(hers, type="chat", content=script(*steps), user_id="user-uuid-789", timestamp="2025-01-15T10:30:00Z")
            seen += await read_until(hers, "response_end")
            await say(hers, type="chat", content=script({"fail": {"code": "x", "message": "It failed.", "retryable": False}}))
            seen += await read_until(hers, "error")
            await say(hers, type="ping")
            seen += await read_until(hers, "pong")
        gone = await read_until_left(his)
    kinds = {frame["type"]: frame for frame in seen}
    assert kinds["typing"]["user_id"] == gone["user_id"].replace("alice", "bob") == "user_bob"
    assert kinds["sources"]["sources"][0]["title"] == "Q4"
    assert [frame["index"] for frame in seen if frame["type"] == "text-delta"][:1] == [0]
    assert "".join(frame["text"] for frame in seen if frame["type"] == "text-delta") == "It rose."
    end = kinds["response_end"]
    assert end["full_response"] == "It rose."
    assert isinstance(end["tokens_used"], int)
    assert isinstance(end["response_time"], float)
    assert kinds["error"]["message"]
    for kind in ("response_start", "text-delta", "sources", "response_end", "pong"):
        assert kinds[kind]["timestamp"].endswith("Z"), kind


async def test_notifications(staff: Client, guest: Guest) -> None:
    """System events, workflow completions and workspace activity are all told in the one frame of the document."""
    told = {"title": "Workflow completed", "body": "It finished successfully.", "action_url": "/workflows/wf-123/results"}
    async with connect(notifications_address(guest, at=1)) as socket:
        hello = await read(socket)
        assert (hello["type"], hello["user_id"]) == ("connected", guest.id)
        await notify(staff, guest, told["title"], body=told["body"], action_url=told["action_url"])
        frame = await read(socket)
        assert frame.items() >= {"type": "notification", "notification": told}.items()
        assert frame["timestamp"].endswith("Z")
        await socket.send('{"type":"ping"}')
        assert (await read(socket))["type"] == "pong"
        await socket.send("no JSON")
        assert (await read(socket))["type"] == "error"


async def test_workspaces(stack: Stack, alice: Client, bob: Client, demo: Client, workspace: str) -> None:
    """Those of presence, those that members say, and those that the server tells when it really happens."""
    async with join(alice, workspace, at=0) as ann:
        async with join(bob, workspace, at=1) as other:
            for kind in ("document_updated", "application_changed", "member_added"):
                await other.socket.send(json.dumps({"type": kind, "document_id": "doc-456", "action": "edited"}))
            await eventually(lambda: _origins(ann, "member_added")[-1:] == ["member"], within=SECONDS, what="what members say")
        await eventually(lambda: ann.of("user_left"), within=SECONDS, what="bob leaves")
        await asyncio.to_thread(change_application, stack)
        await eventually(lambda: len(ann.of("application_changed")) == 2, within=SECONDS, what="a changed application")
        source = {"name": "n", "text": "t", "organization": "org_demo", "embedding_model": "hashing"}
        made = await demo.request("POST", "/api/v1/sources", json=source)
        assert made.status_code == 201, made.text

        def documents() -> list[str]:
            # What other tests of this server ingest may be told here, too.
            ours = ("doc-456", made.json()["id"])
            return [frame["origin"] for frame in ann.of("document_updated") if frame["document_id"] in ours]

        await eventually(lambda: documents() == ["member", "server"], within=SECONDS, what="a new source")
        removed = await demo.request("DELETE", f"/api/v1/workspaces/{workspace}/members/user_bob")
        assert removed.status_code == 204
        await add(demo, workspace, "bob")
        # Before it the server may have told of those who were added before she came: they went through the outbox.
        await eventually(lambda: _origins(ann, "member_added")[-2:] == ["member", "server"], within=SECONDS, what="a new member")
        for kind in ("user_joined", "user_left"):
            assert [frame["user_id"] for frame in ann.of(kind)] == ["user_bob"]
        assert _origins(ann, "application_changed") == ["member", "server"]


def _origins(member: Member, kind: str) -> list[str]:
    return [frame["origin"] for frame in member.of(kind)]


def change_application(stack: Stack) -> None:
    """As the admin does it."""
    code = (
        "from chat.models import Application; from chat.services import applications; "
        "applications.save(application=Application.objects.get(public_id='app_demo'), changed_by='user_demo')"
    )
    stack.manage("shell", "-c", code)


DEBUGGED: list[tuple[str, dict[str, Any]]] = [
    ("log", {"message": "Begins"}),
    ("trace", {"n": 1}),
    ("step", {"name": "parse", "status": "started"}),
    ("variable", {"name": "rows", "value": 2}),
    ("api_call", {"method": "GET", "url": "https://example.org/", "status": 200, "duration_ms": 5}),
]


@pytest.mark.parametrize(("last", "data"), [("execution_complete", {"result": 1}), ("execution_error", {"error": "It failed."})])
async def test_plugin_debugging(stack: Stack, alice: Client, execution: str, last: str, data: dict[str, Any]) -> None:
    """Live on one process, and as history on the other."""
    async with connect(debug_address(stack, execution, at=1)) as socket:
        info = await read(socket)
        assert info["type"] == "execution_info"
        assert {"plugin_id", "tool_name", "status"} <= info["data"].keys()
        await report(alice, execution, *DEBUGGED)
        assert await told(socket, len(DEBUGGED)) == DEBUGGED
        async with connect(debug_address(stack, execution, at=0)) as later:
            await read(later)
            history = await read(later)
            assert history["type"] == "debug_data"
            assert [frame["type"] for frame in history["data"]["events"]] == [type_ for type_, _ in DEBUGGED]
            await report(alice, execution, (last, data))
            for each in (socket, later):
                ((type_, end),) = await told(each, 1)
                assert (type_, end.items() >= data.items()) == (last, True)


async def told(socket: ClientConnection, count: int) -> list[tuple[str, dict[str, Any]]]:
    frames = [await read(socket) for _ in range(count)]
    return [(frame["type"], frame["data"]) for frame in frames]
