"""A real server and a real worker: a connection from the request to the feed."""

import json

import httpx
import pytest

from tests.knowledge.conftest import wait_for
from tests.live.processes import Stack
from tests.plugins.stub import Stub

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def stack():
    stack = Stack(webs=1, workers=1, settings={"PLUGINS_ALLOW_PRIVATE_ADDRESSES": "true", "CHAT_ENGINE": "scripted"})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def payload_of(frames, type_):
    """The payload of the next event of this type."""
    for line in frames:
        if line.startswith("data: ") and (event := json.loads(line[6:]))["type"] == type_:
            return event["payload"]
    raise AssertionError(f"no {type_}")


def test_a_user_connects_an_mcp_server_and_sees_it_on_the_feed(stack):
    address = stack.addresses[0]
    login = httpx.post(f"{address}/api/v1/auth/token", json={"username": "alice", "password": "alice"}, timeout=20)
    headers = {"Authorization": f"Bearer {login.raise_for_status().json()['access']}"}
    with Stub() as stub, httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        with client.stream("GET", "/api/events") as feed:
            frames = feed.iter_lines()
            assert next(frames).startswith(":")
            made = client.post("/api/v1/connections", json={"name": "Files", "server_url": stub.mcp_url})
            assert made.status_code == 202
            assert payload_of(frames, "mcp.oauth.in_progress")["task_id"] == made.json()["task_id"]
            url = payload_of(frames, "mcp.oauth.awaiting_redirect")["authorization_url"]
            page = httpx.get(f"{address}/oauth/callback", params=stub.approve(url), timeout=20)
            assert page.status_code == 200
            assert payload_of(frames, "mcp.oauth.completed")["tools_count"] == 3
        told = wait_for(lambda: client.get(f"/api/v1/connections/{made.json()['id']}").json())
        assert told["status"] == "completed"
    assert httpx.URL(url).params["state"] not in stack.logs()
