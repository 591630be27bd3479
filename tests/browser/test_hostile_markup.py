"""Markup in what others write runs in nobody's page: workspace broadcasts, names, what a notification rule makes of an event."""

import json
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

ATTACK = (
    "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script><a href='javascript:alert(1)'>x</a>"
)


class Rest:
    """Requests by a demo user."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.token = address, ""
        self.token = self("POST", "/api/v1/auth/token", {"username": name, "password": name})["access"]

    def __call__(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(f"{self.address}{path}", json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())


@pytest.fixture
def demo(server: str) -> Rest:
    """The admin of the demo organisation."""
    return Rest(server, "demo")


def nothing_ran(page: Page) -> None:
    """Shown as text: no element of it, no handler of it, no title of its."""
    assert page.locator("[onerror], a[href^='javascript:'], img[src='x']").count() == 0
    assert page.title() != "hacked"  # the name of a workspace is in its title, as text
    inline = "[...document.scripts].filter(each => !each.src && each.type !== 'application/json').length"
    assert page.evaluate(inline) == 0


def test_what_a_member_of_a_workspace_tells_stays_text(visit: Visit, demo: Rest) -> None:
    made = demo("POST", "/api/v1/workspaces", {"organization": "org_demo", "name": ATTACK})["id"]
    for user in ("user_alice", "user_bob"):
        demo("POST", f"/api/v1/workspaces/{made}/members", {"user": user})
    pages = []
    for name in ("alice", "bob"):
        visitor = visit(name)
        visitor.page.goto(f"{visitor.address}/workspaces/{made}")
        expect(visitor.page.locator("#here .person-you")).to_have_count(1)
        pages.append(visitor.page)
    teller, reader = pages
    teller.get_by_label("Which one").fill(ATTACK)
    teller.get_by_label("How (optional)").fill(ATTACK)
    teller.get_by_role("button", name="Tell the others").click()
    expect(reader.locator(".happening-words").first).to_contain_text("<img src=x")
    for page in pages:
        nothing_ran(page)
    reader.goto(reader.url.rpartition("/")[0])
    expect(reader.locator("body")).to_contain_text("<img src=x")
    nothing_ran(reader)


def test_what_a_rule_makes_of_an_event_stays_text(visit: Visit, demo: Rest) -> None:
    rule = {
        "organization": "org_demo",
        "name": ATTACK,
        "pattern": "events.org_demo.shop.hostile.placed.*",
        "title": "New: {{ payload.title }}",
        "body": "{{ payload.title }}",
        "channels": ["websocket"],
        "recipients": ["user:user_alice"],
    }
    demo("POST", "/api/v1/notifications/rules", rule)
    visitor = visit("alice")
    page = visitor.page
    page.goto(f"{visitor.address}/notifications")
    event = {"topic": "events.org_demo.shop.hostile.placed.o1", "payload": {"title": ATTACK}}
    demo("POST", "/api/v1/topics/publish", event)
    expect(page.locator("#notifications")).to_contain_text("New: <img src=x", timeout=40_000)
    nothing_ran(page)
