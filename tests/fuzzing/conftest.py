"""One server for the fuzzer, with something of everything in it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from tests.live.processes import Stack

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""How often each address is asked by each caller in each way."""
SECONDS = 60.0
"""For one answer, on a machine that is busy with other things."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/fuzzing/" in item.path.as_posix():
            item.add_marker(pytest.mark.live)


@dataclass
class Server:
    """A running server; `known`: ids that are there, by the names that addresses give them; `tokens` by user."""

    stack: Stack
    address: str
    tokens: dict[str, str]
    known: dict[str, str]

    def post(self, path: str, body: object) -> dict[str, str]:
        """What the staff user is answered."""
        headers = {"Authorization": f"Bearer {self.tokens['demo']}"}
        answer = requests.post(f"{self.address}{path}", json=body, headers=headers, timeout=SECONDS)
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    stack = Stack(
        webs=1,
        workers=1,
        settings={
            "LOGIN_ATTEMPTS_PER_MINUTE": "1000000",
            # A question may be a script of the engine's that waits: it is not waited for longer than this.
            "RUN_MAX_SECONDS": "20",
        },
    )
    try:
        stack.start()
        yield _filled(stack)
    finally:
        stack.stop()


def _filled(stack: Stack) -> Server:
    address = stack.addresses[0]

    def token(name: str) -> str:
        answer = requests.post(f"{address}/api/v1/auth/token", json={"username": name, "password": name}, timeout=SECONDS)
        return answer.json()["access"]

    server = Server(stack, address, {name: token(name) for name in ("demo", "alice")}, {})
    post = server.post
    room = post("/api/v1/rooms", {"title": "Fuzzed", "participants": [{"account_id": "user_alice"}]})["id"]
    answer = post("/api/v1/chat/complete", {"query": "What is a cursor?", "context_mode": "none"})
    job = post("/v1/chat", {"message": "Make it shorter.", "document_html": "<p>A long text.</p>", "session_id": "fuzzed"})
    plugin = post("/api/v1/plugins", {"name": "fuzzed", "organization": "org_demo", "tools": [{"name": "forecast"}]})["id"]
    execution = post(f"/api/v1/plugins/{plugin}/executions", {"tool_name": "forecast", "input": {"city": "Oslo"}})["id"]
    rule = post(
        "/api/v1/notifications/rules",
        {
            "organization": "org_demo",
            "name": "Tasks",
            "pattern": "events.org_demo.tasks.task.completed.*",
            "title": "Done",
            "channels": ["websocket"],
            "recipients": ["user:user_demo"],
        },
    )["id"]
    notification = post("/api/v1/notifications", {"user": "user_demo", "title": "Hello"})["ids"][0]
    source = post("/api/v1/sources", {"name": "Tea", "text": "Green tea is steeped at 70 to 80 degrees."})["id"]
    server.known |= {
        "room_id": room,
        "account_id": "user_alice",
        "message_id": answer["message_id"],
        "conversation_id": answer["conversation_id"],
        "job_id": job["job_id"],
        "session_id": "fuzzed",
        "name": "fuzzed",
        "application_id": "app_demo",
        "organization_id": "org_demo",
        "workspace_id": "ws_demo",
        "user_id": "user_alice",
        "plugin_id": plugin,
        "execution_id": execution,
        "rule_id": rule,
        "notification_id": notification,
        "source_id": source,
    }
    return server
