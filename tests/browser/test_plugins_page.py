"""The page of plugins, in a real browser: executions as they run, and afterwards."""

import json
import os
import re
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Visitor
from tests.browser.cuttable import CuttableNetwork

pytestmark = pytest.mark.browser

PATH = "/api/v1/plugins"
Call = Callable[..., Any]


@pytest.fixture
def api(server: str) -> Call:
    """`api(path, body)` as alice; without a body a GET."""

    def send(path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{server}{path}", data, {"Content-Type": "application/json"} | headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    token = send("/api/v1/auth/token", {"username": "alice", "password": "alice"})["access"]
    return lambda path, body=None: send(path, body, Authorization=f"Bearer {token}")


class Running:
    """An execution that a test reports to."""

    def __init__(self, api: Call) -> None:
        self._api = api
        self.plugin = f"Weather {uuid.uuid4().hex[:6]}"
        self.tool = f"forecast_{uuid.uuid4().hex[:6]}"
        plugin = api(PATH, {"name": self.plugin, "organization": "org_demo"})
        made = api(f"{PATH}/{plugin['id']}/executions", {"tool_name": self.tool, "input": {"city": "Bergen", "api_key": "abc"}})
        self.id: str = made["id"]

    def report(self, *events: tuple[str, dict[str, Any]]) -> None:
        self._api(f"{PATH}/executions/{self.id}/events", {"events": [{"type": type_, "data": data} for type_, data in events]})


def opened(visitor: Visitor) -> Page:
    visitor.page.goto(f"{visitor.address}/plugins")
    expect(visitor.page.locator("#runs-note")).not_to_have_text("Loading…")
    return visitor.page


def shoot(page: Page, name: str) -> None:
    """A picture to look at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


WORK = [
    ("log", {"message": "Asking for the weather in Bergen"}),
    ("step", {"name": "fetch", "status": "started", "step_id": "a"}),
    (
        "api_call",
        {"method": "GET", "url": "https://user:pw@api.example.org/v1?city=bergen&token=abc", "status": 200, "duration_ms": 231.4},
    ),
    ("step", {"name": "decode", "status": "started", "step_id": "b", "parent_id": "a"}),
    ("variable", {"name": "answer", "value": {"rain_mm": 12.5, "password": "hunter2"}}),
    ("step", {"name": "decode", "status": "completed", "step_id": "b", "parent_id": "a", "duration_ms": 3.2}),
    ("step", {"name": "fetch", "status": "completed", "step_id": "a", "duration_ms": 240}),
]


def test_nothing_yet(visit: Visit, guest: str) -> None:
    page = opened(visit(guest))
    expect(page.locator("#runs-note")).to_contain_text("Nothing has run yet")
    expect(page.locator("#console-empty")).to_be_visible()
    expect(page.get_by_role("link", name="Plugins")).to_have_attribute("aria-current", "page")
    shoot(page, "plugins-empty")


def test_an_execution_is_seen_while_it_runs_and_afterwards(visit: Visit, api: Call) -> None:
    page = opened(visit("alice"))
    running = Running(api)
    row = page.locator("#runs li", has_text=running.tool)
    expect(row).to_contain_text("Not started")
    row.get_by_role("button").click()
    expect(page.locator("#console-title")).to_have_text(running.tool)
    expect(page.locator("#lines-none")).to_be_visible()
    expect(page.locator("#console-live")).to_have_text("Live")
    running.report(*WORK[:4])
    expect(page.locator("#console-state")).to_have_text("Running")
    expect(page.locator(".step")).to_have_count(2)
    expect(page.locator(".step").first).to_contain_text("started")
    shoot(page, "plugins-live")
    running.report(*WORK[4:])
    expect(page.locator(".step", has_text="decode")).to_contain_text("completed")
    expect(page.locator("#variables")).to_contain_text("rain_mm")
    expect(page.locator(".call")).to_have_text("GET https://***@api.example.org/v1?city=bergen&token=*** 200 231 ms")
    running.report(("execution_complete", {"result": {"forecast": "rain"}}))
    expect(page.locator("#console-state")).to_have_text("Completed")
    expect(page.locator("#outcome")).to_contain_text('"forecast": "rain"')
    expect(row).to_contain_text("Completed")
    for secret in ("hunter2", "abc", "pw@"):
        expect(page.locator("#console")).not_to_contain_text(secret)
    shoot(page, "plugins-done")
    before = page.locator("#lines").inner_text()
    page.reload()
    expect(page.locator("#console-state")).to_have_text("Completed")
    expect(page.locator(".line")).to_have_count(8)
    assert page.locator("#lines").inner_text() == before
    expect(page.locator(".step")).to_have_count(2)


def test_a_failure_and_a_hostile_plugin(visit: Visit, api: Call) -> None:
    running = Running(api)
    bad = "<img src=x onerror=alert(1)>"
    running.report(
        ("log", {"message": bad, "level": "error"}),
        ("step", {"name": bad, "status": "failed", "error": "Connection refused"}),
        ("variable", {"name": "x" * 300, "value": "y" * 3000}),
        ("trace", {"node": {"deep": [1, 2, {"a": None}]}}),
        ("execution_error", {"error": f"ValueError: {bad}"}),
    )
    page = opened(visit("alice", color_scheme="dark"))
    page.goto(f"{page.url}#{running.id}")
    expect(page.locator("#console-state")).to_have_text("Failed")
    expect(page.locator("#outcome")).to_contain_text(bad)
    expect(page.locator(".step-error")).to_have_text("Connection refused")
    assert page.locator("#console img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    shoot(page, "plugins-failed-dark")


def test_on_a_telephone(visit: Visit, api: Call) -> None:
    running = Running(api)
    running.report(*WORK, ("execution_complete", {"result": "Rain."}))
    page = opened(visit("alice", viewport={"width": 390, "height": 800}))
    page.locator("#runs li", has_text=running.tool).get_by_role("button").click()
    expect(page.locator("#outcome")).to_contain_text("Rain.")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    shoot(page, "plugins-narrow")


@pytest.mark.usefixtures("expects_console_errors")
def test_a_connection_that_is_cut_misses_nothing(visit: Visit, api: Call, network: CuttableNetwork) -> None:
    running = Running(api)
    running.report(("log", {"message": "number 0"}))
    page = opened(visit("alice", address=network.address))
    page.goto(f"{page.url}#{running.id}")
    expect(page.locator(".line")).to_have_count(1)
    network.cut()
    running.report(*(("log", {"message": f"number {number}"}) for number in range(1, 20)))
    network.mend()
    running.report(("execution_complete", {"result": 1}))
    expect(page.locator("#console-state")).to_have_text("Completed", timeout=40_000)
    words = page.locator(".line-words").all_inner_texts()
    assert words == [*(f"number {number}" for number in range(20)), "Completed"]


def test_many_events_at_once_keep_the_page_alive(visit: Visit, api: Call) -> None:
    running = Running(api)
    page = opened(visit("alice"))
    page.goto(f"{page.url}#{running.id}")
    for start in range(0, 3000, 100):
        running.report(*(("log", {"message": f"number {number}"}) for number in range(start, start + 100)))
    running.report(("execution_complete", {"result": 1}))
    expect(page.locator("#console-state")).to_have_text("Completed", timeout=40_000)
    expect(page.locator(".line").last).to_have_text(re.compile("Completed$"))
    assert page.locator(".line").count() == 2000


@pytest.mark.usefixtures("expects_console_errors")
def test_one_that_is_not_there(visit: Visit) -> None:
    page = opened(visit("alice"))
    page.goto(f"{page.url}#{uuid.uuid4()}")
    expect(page.locator("#notice")).to_contain_text("does not exist")
    expect(page.locator("#console-empty")).to_be_visible()
