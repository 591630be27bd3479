"""One server for the tests of approvals: answers whose tool does something for real, at a server that counts."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.live.approvals.counting import CountingServer
from tests.live.approvals.smtp import MailServer
from tests.live.conftest import USERS, Client, log_in
from tests.live.processes import Stack, eventually, free_port

CALL_LEASE_SECONDS = 3.0


@pytest.fixture(scope="package")
def counting_port() -> int:
    return free_port()


@pytest.fixture(scope="package")
def mail_port() -> int:
    return free_port()


@pytest.fixture(scope="package")
def approval_stack(counting_port: int, mail_port: int) -> Iterator[Stack]:
    stack = Stack(
        settings={
            "PLUGINS_HTTP_HOSTS": f"127.0.0.1:{counting_port}",
            "PLUGINS_ALLOW_PRIVATE_ADDRESSES": "true",
            "PLUGINS_CALL_LEASE_SECONDS": str(CALL_LEASE_SECONDS),
            "APPROVAL_RESUMES": "100",
            "APPROVAL_MAIL": "true",
            "PUBLIC_URL": "https://ai.example.org",
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "EMAIL_FROM": "approvals@example.org",
        }
    )
    try:
        stack.start()
        stack.query("UPDATE chat_application SET tools = '[\"http_request\"]' WHERE public_id = 'app_demo'")
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(approval_stack: Stack) -> Iterator[Stack]:
    """A server that is whole: two web processes, one worker."""
    approval_stack.mark_logs()
    yield approval_stack
    approval_stack.heal()


@pytest.fixture(scope="package")
def tokens(approval_stack: Stack) -> dict[str, str]:
    return {name: log_in(approval_stack, name) for name in USERS}


@pytest_asyncio.fixture
async def counting(counting_port: int) -> AsyncIterator[CountingServer]:
    async with CountingServer(counting_port) as server:
        yield server


@pytest_asyncio.fixture
async def mail(stack: Stack, mail_port: int) -> AsyncIterator[MailServer]:
    """Where mails end up while a test wants them; alice has an address then."""
    async with MailServer(mail_port) as server:
        stack.query("UPDATE accounts_user SET email = 'alice@example.org' WHERE username = 'alice'")
        yield server
        stack.query("UPDATE accounts_user SET email = ''")


def call(url: str, call_id: str = "call_1") -> dict[str, Any]:
    """A step of a script: one POST to the counting server, which asks first."""
    return {"tool_call": {"name": "http_request", "call_id": call_id, "arguments": {"url": url, "method": "POST"}}}


async def waiting(client: Client, *steps: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """An answer that waits: its id and its open approvals."""
    message_id = await client.ask([*steps, {"results": True}, {"text": "Then: "}, {"result": 1}], application_id="app_demo")
    return message_id, await eventually(lambda: open_of(client, message_id), within=15, what="the approval")


async def open_of(client: Client, message_id: str, *, at: int = 0) -> list[dict[str, Any]]:
    """What waits of an answer, first asked first."""
    answer = await client.request("GET", f"/api/v1/approvals?message_id={message_id}", at=at)
    assert answer.status_code == 200, answer.text
    return sorted(answer.json()["results"], key=lambda each: each["position"])


async def decide(client: Client, approval: dict[str, Any], *, approved: bool = True, at: int = 0) -> int:
    """The status of a decision."""
    address = f"/api/v1/approvals/{approval['id']}/decision"
    return (await client.request("POST", address, json={"approved": approved}, at=at)).status_code


async def over(client: Client, message_id: str, *, within: float = 40, at: int = 0) -> dict[str, Any]:
    """The answer once it has ended."""

    async def ended() -> dict[str, Any] | None:
        tail = await client.tail(message_id, at=at)
        return tail if tail["status"] in ("completed", "failed", "cancelled") else None

    return await eventually(ended, within=within, what="the end of the answer")
