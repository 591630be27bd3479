"""The page of operations, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _console(expects_console_errors: None) -> None:
    """Streams that are ended are errors to Chromium's console."""


def ops(visit: Visit, **options: object) -> Page:
    visitor = visit("demo", **options)
    visitor.page.goto(f"{visitor.address}/ops")
    expect(visitor.page.locator("#connection")).to_have_attribute("data-state", "live")
    return visitor.page


def guest_page(visit: Visit, guest: str) -> Page:
    """Someone in front of a page that has a feed, and no socket of its own."""
    visitor = visit(guest)
    visitor.page.goto(f"{visitor.address}/explorer")
    expect(visitor.page.locator("#connection")).to_have_attribute("data-state", "live")
    return visitor.page


def rows(page: Page, user: str):
    return page.locator("#connections tr").filter(has=page.get_by_role("button", name=user, exact=True))


def test_it_shows_parts_numbers_processes_and_connections(visit: Visit) -> None:
    page = ops(visit)
    for part in ("database", "broker", "worker"):
        expect(page.locator("#parts")).to_contain_text(f"{part} answers")
    # Other tests of this server may have left runs that wait, so what must be shown is what the server says.
    told = page.request.get(page.url.replace("/ops", "/api/v1/ops")).json()
    for status in ("queued", "running", "awaiting_approval"):
        expect(page.locator(f"#runs-{status}")).to_have_text(str(told["runs"][status]))
    for number in ("sockets", "users", "sessions", "journal-events"):
        expect(page.locator(f"#{number}")).to_have_text("0")
    expect(page.locator("#processes tr")).to_have_count(1)
    # This page's own feed is among them.
    expect(rows(page, "user_demo").first).to_contain_text("/api/events")
    expect(rows(page, "user_demo").first).to_contain_text("stream")


def test_who_comes_and_goes_appears_and_disappears_by_itself(visit: Visit, guest: str) -> None:
    page = ops(visit)
    expect(rows(page, f"user_{guest}")).to_have_count(0)
    other = guest_page(visit, guest)
    expect(rows(page, f"user_{guest}")).to_have_count(1)
    other.close()
    expect(rows(page, f"user_{guest}")).to_have_count(0)


def test_sockets_are_counted_and_one_is_disconnected(visit: Visit, guest: str) -> None:
    page = ops(visit)
    other = guest_page(visit, guest)
    other.evaluate(
        """() => new Promise((resolve) => {
            window.socket = new WebSocket(`ws://${location.host}/ws/chat/a-session`);
            window.wasClosed = new Promise((done) => { window.socket.onclose = (event) => done([event.code, event.reason]); });
            window.socket.onmessage = resolve;
        })"""
    )
    expect(page.locator("#sockets")).to_have_text("1")
    row = rows(page, f"user_{guest}").filter(has_text="/ws/chat/a-session")
    row.get_by_role("button", name="Disconnect").click()
    assert other.evaluate("window.wasClosed") == [4403, "Ended by an operator"]
    expect(page.locator("#sockets")).to_have_text("0")
    expect(row).to_have_count(0)


def test_everything_of_a_user_is_disconnected_after_a_question(visit: Visit, guest: str) -> None:
    page = ops(visit)
    other = guest_page(visit, guest)
    other.evaluate(
        """() => Promise.all([1, 2].map((number) => new Promise((resolve) => {
            const socket = new WebSocket(`ws://${location.host}/ws/chat/session-${number}`);
            socket.onclose = (event) => { document.title += ` ${event.code}`; };
            socket.onmessage = () => resolve(null);
        })))"""
    )
    rows(page, f"user_{guest}").first.get_by_role("button", name=f"user_{guest}").click()
    expect(page.locator("#note")).to_have_text(f"3 connections of user_{guest}, the newest first.")
    page.get_by_role("button", name="Disconnect this user").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Disconnect this user").click()
    expect(page.locator("#end-question")).to_contain_text(f"user_{guest}")
    page.locator("#end-dialog").get_by_role("button", name="Disconnect").click()
    expect(other).to_have_title(re.compile("4403 4403$"))
    page.get_by_label("Only those of the user with the id").fill("")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#connections tr").first).to_be_visible()


def test_others_may_not_see_it(visit: Visit, guest: str) -> None:
    visitor = visit(guest)
    response = visitor.page.goto(f"{visitor.address}/ops")
    assert response is not None
    assert response.status == 403
    assert visitor.page.get_by_role("link", name="Operations").count() == 0


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_narrow_screen(visit: Visit, width: int) -> None:
    page = ops(visit, viewport={"width": width, "height": 700})
    expect(page.locator("#connections tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
