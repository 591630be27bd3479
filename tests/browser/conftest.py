"""The running product, and a browser in front of it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from accounts.models import User
from realtime_project.serving.valkey import EmbeddedValkey
from tests.browser.cuttable import CuttableNetwork
from tests.patience import patiently

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
expect.set_options(timeout=patiently(15_000))  # Playwright's own 5 s are short on a machine with others on it
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


TOOL_PORT = _free_port()
"""Where a test may serve what the tool `http_request` calls."""


@pytest.fixture(scope="package")
def own_database(database_url: str) -> Iterator[str]:
    """An empty database beside the test run's; gone afterwards."""
    name = f"browser_{secrets.token_hex(4)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
        yield urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
        connection.execute(f'drop database "{name}" with (force)')


@pytest.fixture(scope="package")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey beside the test run's. That one is wiped by other tests of the same process, while this server runs on:
    it would then wait PRESENCE_SECONDS before it says of anybody that he left."""
    valkey = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), durable=False)
    yield valkey.start()
    valkey.stop()


@pytest.fixture(scope="package")
def server(own_database: str, own_valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `manage.py serve` with the scripted engine and the demo users."""
    folder = tmp_path_factory.mktemp("browser")
    port = _free_port()
    environment = os.environ | {
        "DATABASE_URL": own_database,
        "REDIS_URL": own_valkey,
        "DATA_DIR": str(folder / "data"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "CHAT_ENGINE": "scripted",
        # A tool that asks first, for what tests serve there.
        "PLUGINS_HTTP_HOSTS": f"127.0.0.1:{TOOL_PORT}",
        "PLUGINS_ALLOW_PRIVATE_ADDRESSES": "true",
        # Soon after a logout, open streams end.
        "AUTH_RECHECK_SECONDS": "2",
        # Reloading over and over is what these tests do.
        "EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW": "1000",
    }
    log = (folder / "log").open("wb")
    process = subprocess.Popen([sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, process, folder / "log")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patiently(30))
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + patiently(START_SECONDS)
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"The server did not become ready:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """Chromium. Of one module only: Playwright's loop would be in the way of async tests in others."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def network(server: str) -> Iterator[CuttableNetwork]:
    """A way to the server that can be cut."""
    with CuttableNetwork(int(server.rpartition(":")[2])) as network:
        yield network


def new_session(database: str, username: str) -> str:
    """The key of a session that is logged in. By the form it would take a second of hashing, in each of many tests."""
    with psycopg.connect(database, autocommit=True) as connection:
        (pk, password) = connection.execute("SELECT id, password FROM accounts_user WHERE username = %s", (username,)).fetchone()  # type: ignore[misc]
        data = {
            SESSION_KEY: str(pk),
            BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
            HASH_SESSION_KEY: User(password=password).get_session_auth_hash(),
        }
        key = secrets.token_hex(16)
        connection.execute(
            "INSERT INTO django_session (session_key, session_data, expire_date) VALUES (%s, %s, now() + interval '1 day')",
            (key, SessionStore().encode(data)),
        )
    return key


class Visitor:
    """Someone with a browser of their own, logged in, in front of the chat page."""

    def __init__(self, context: BrowserContext, address: str, session: str) -> None:
        self.context = context
        self.address = address
        self.complaints: list[str] = []
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address, "httpOnly": True}])
        self.page = self.new_tab()
        self.page.goto(address)
        self.page.get_by_text("Connected", exact=True).wait_for()

    def new_tab(self) -> Page:
        """A page whose console errors are kept."""
        page = self.context.new_page()
        page.set_default_timeout(patiently(20_000))
        page.on(
            "console",
            lambda message: self.complaints.append(f"{message.text} {message.location}") if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(f"{error} {error.stack}"))
        return page


class Publisher:
    """Another service, with the token of someone on the staff, that publishes to users' feeds."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token = self._post("/api/v1/auth/token", {"username": "demo", "password": "demo"})["access"]

    def __call__(self, title: str, *, to: str, type: str = "demo.event") -> str:
        """Publishes an event that is worth a toast; its id."""
        event = {"user": f"user_{to}", "type": type, "payload": {"title": title}}
        return str(self._post("/api/v1/events", event, Authorization=f"Bearer {self._token}")["ids"][0])

    def _post(self, path: str, body: Any, **headers: str) -> Any:
        request = urllib.request.Request(
            f"{self._address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"} | headers
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="package")
def publish(server: str) -> Publisher:
    """`publish(title, to=username, type=)` on a user's feed."""
    return Publisher(server)


@pytest.fixture
def guest(server: str, own_database: str) -> str:
    """The name of a user of this test alone, with an empty feed; the password is bob's."""
    name = f"guest_{secrets.token_hex(4)}"
    with psycopg.connect(own_database, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'accounts_user' "
            "AND column_name NOT IN ('id', 'username', 'public_id')"
        ).fetchall()
        columns = ", ".join(f'"{column}"' for (column,) in rows)
        connection.execute(
            f"INSERT INTO accounts_user (username, public_id, {columns}) "
            f"SELECT %s, %s, {columns} FROM accounts_user WHERE username = 'bob'",
            (name, f"user_{name}"),
        )
    return name


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(browser: Browser, server: str, own_database: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """`visit(username, address=, **context_options)`; an error in a console fails the test, if not `expects_console_errors`."""
    visitors: list[Visitor] = []

    def open_browser(username: str = "alice", address: str = server, **options: Any) -> Visitor:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        visitors.append(Visitor(context, address, new_session(own_database, username)))
        return visitors[-1]

    yield open_browser
    for visitor in visitors:
        visitor.context.close()
    if "expects_console_errors" not in request.fixturenames:
        assert [complaint for visitor in visitors for complaint in visitor.complaints] == []


@pytest.fixture
def expects_console_errors() -> None:
    """Asked for by tests that make requests fail: Chromium writes each into the console."""


def script(*steps: dict[str, Any]) -> str:
    """A question that tells the scripted engine what to answer."""
    return "!script " + json.dumps(list(steps))


def until(page: Page, holds: Callable[[], object], what: str, *, seconds: float = 10) -> None:
    """Waits while the browser goes on; fails with `what` that was waited for."""
    for _ in range(int(patiently(seconds) / 0.05)):
        if holds():
            return
        page.wait_for_timeout(50)  # also lets the browser's words arrive here
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")
