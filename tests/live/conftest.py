"""One server for all tests of this folder; whatever a test breaks is mended after it."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.live.processes import Stack, free_port
from tests.live.readers import Frame, Reader, SseParser
from tests.providers import StubProvider

USERS = ("demo", "alice", "bob")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/live/" in item.path.as_posix():
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows what the server's processes wrote meanwhile."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and stack is not None:
        report.sections.append(("logs of the server's processes", stack.logs()))
    return report


@pytest.fixture(scope="session")
def provider_port() -> int:
    return free_port()


@pytest.fixture(scope="package")
def session_stack(provider_port: int) -> Iterator[Stack]:
    stack = Stack(
        settings={
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
            "OPENAI_API_KEY": "sk-stub",
            "OPENAI_MODEL": "stub-model",
        }
    )
    try:
        stack.start()
        # Questions to this application go to the stub provider, all others to the scripted engine.
        stack.query("UPDATE chat_application SET engine = 'openai' WHERE public_id = 'app_demo'")
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(session_stack: Stack) -> Iterator[Stack]:
    """A server that is whole: two web processes, one worker."""
    session_stack.mark_logs()
    yield session_stack
    session_stack.heal()


@pytest_asyncio.fixture
async def provider(provider_port: int) -> AsyncIterator[StubProvider]:
    """What the `openai` engine of the stack talks to."""
    async with StubProvider(port=provider_port) as stub:
        yield stub


def log_in(stack: Stack, name: str) -> str:
    """A new access token of a demo user."""
    answer = httpx.post(f"{stack.addresses[0]}/api/v1/auth/token", json={"username": name, "password": name})
    answer.raise_for_status()
    return str(answer.json()["access"])


@pytest.fixture(scope="package")
def tokens(session_stack: Stack) -> dict[str, str]:
    """An access token of each demo user, by name."""
    return {name: log_in(session_stack, name) for name in USERS}


@dataclass
class Client:
    """What a user's programs do, as that user, over any of the web processes."""

    stack: Stack
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def request(self, method: str, path: str, *, at: int = 0, **options: Any) -> httpx.Response:
        """One request to a web process."""
        headers = self.headers | options.pop("headers", {})
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.request(method, f"{self.stack.addresses[at]}{path}", headers=headers, **options)

    async def ask(self, script: list[dict[str, Any]] | str, *, at: int = 0, **fields: Any) -> str:
        """Asks and leaves at once; the id of the answer."""
        question = script if isinstance(script, str) else f"!script {json.dumps(script)}"
        return str((await self.open(question, at=at, **fields)).data["message_id"])

    async def open(self, question: str, *, at: int = 0, headers: dict[str, str] | None = None, **fields: Any) -> Frame:
        """The first frame of `POST /stream`; the connection is cut after it."""
        async with (
            httpx.AsyncClient(timeout=20) as client,
            client.stream(
                "POST",
                f"{self.stack.addresses[at]}/stream",
                json={"question": question, **fields},
                headers=self.headers | (headers or {}),
            ) as response,
        ):
            assert response.status_code == 200, await response.aread()
            parser = SseParser()
            async for data in response.aiter_raw():
                if frames := parser.feed(data):
                    assert frames[0].data["type"] == "message_id"
                    return frames[0]
        raise AssertionError("the response ended before its first frame")

    def reader(self, message_id: str, *, at: int = 0, **options: Any) -> Reader:
        """A reader of an answer that begins at one web process and comes back to the next."""
        addresses = self.stack.addresses[at:] + self.stack.addresses[:at]
        return Reader(addresses, f"/api/messages/{message_id}/events", self.token, **options)

    async def tail(self, message_id: str, *, at: int = 0) -> dict[str, Any]:
        """`GET /api/messages/<id>/tail`."""
        response = await self.request("GET", f"/api/messages/{message_id}/tail", at=at)
        assert response.status_code == 200, response.text
        return response.json()

    async def stop(self, message_id: str, *, at: int = 0) -> httpx.Response:
        """`POST /api/messages/<id>/stop`."""
        return await self.request("POST", f"/api/messages/{message_id}/stop", at=at)


@pytest.fixture
def alice(stack: Stack, tokens: dict[str, str]) -> Client:
    return Client(stack, tokens["alice"])


@pytest.fixture
def bob(stack: Stack, tokens: dict[str, str]) -> Client:
    return Client(stack, tokens["bob"])


def words(count: int) -> str:
    """The text of the scripted step `{"tokens": count}`."""
    return "".join(f"w{number} " for number in range(count))


MEASURED: list[str] = []


def measured(what: str, seconds: float) -> None:
    """Keeps a time for the summary at the end of the test run."""
    MEASURED.append(f"{what}: {seconds:.2f} s")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what was measured on the way."""
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)
