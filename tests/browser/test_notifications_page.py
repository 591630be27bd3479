"""The inbox and its socket, in a real browser."""

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Publisher, Visit, Visitor

pytestmark = pytest.mark.browser

Notify = Callable[..., str]


@pytest.fixture
def notify(publish: Publisher) -> Notify:
    """`notify(title, to=username, **fields)`: another service puts a notification into someone's inbox; its id."""

    def call(title: str, *, to: str, **fields: str) -> str:
        body = {"user": f"user_{to}", "title": title, **fields}
        made = publish._post("/api/v1/notifications", body, Authorization=f"Bearer {publish._token}")
        return str(made["ids"][0])

    return call


def inbox(visitor: Visitor, *, tab: str = "", page: Page | None = None) -> Page:
    page = page or visitor.page
    page.goto(f"{visitor.address}/notifications{tab}")
    expect(page.locator("#list-note")).not_to_have_text("Loading…")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    return page


def titles(page: Page) -> Locator:
    return page.locator("#notifications .notification-title")


def row(page: Page, title: str) -> Locator:
    return page.locator("#notifications li").filter(has_text=title)


def tab_count(page: Page, tab: str) -> Locator:
    return page.locator(f"#tabs a[data-tab={tab}] .tab-count")


def test_an_empty_inbox_says_what_will_be_there(visit: Visit, guest: str) -> None:
    page = inbox(visit(guest))
    expect(page.locator("#list-note")).to_contain_text("Nothing here.")
    expect(page.locator("#all")).to_be_hidden()
    page.get_by_role("link", name="Unread").click()
    expect(page.locator("#list-note")).to_have_text("You have read everything.")
    page.get_by_role("link", name="Archived").click()
    expect(page.locator("#list-note")).to_contain_text("Nothing is archived.")
    page.go_back()
    expect(page.locator("#list-note")).to_have_text("You have read everything.")
    expect(page.get_by_role("link", name="Unread")).to_have_attribute("aria-current", "page")


def test_a_notification_is_a_toast_and_counted_by_the_bell_that_leads_to_the_inbox(
    visit: Visit, guest: str, notify: Notify
) -> None:
    visitor = visit(guest)
    page = visitor.page
    id = notify("Import done", to=guest, body="14 rows.", action_url="/sources")
    toast = page.locator(".toast")
    expect(toast).to_contain_text("14 rows.")
    expect(toast.get_by_role("link", name="Import done")).to_have_attribute("href", "/sources")
    expect(page.locator("#bell-count")).to_have_text("1")
    page.reload()
    expect(page.locator("#bell-count")).to_have_text("1")
    page.locator("#bell").click()
    expect(page.locator("#bell-inbox-count")).to_have_text("1 unseen")
    expect(page.locator("#bell-list li")).to_have_count(0)
    page.get_by_role("link", name="Inbox 1 unseen").click()
    expect(page.locator(f"#notifications li[data-id='{id}']")).to_contain_text("New")
    expect(page.locator("#bell-count")).to_be_hidden()
    page.reload()
    expect(titles(page)).to_have_text(["Import done"])
    expect(page.locator(".mark-new")).to_have_count(0)


def test_what_arrives_is_shown_at_once_and_needs_no_toast(visit: Visit, guest: str, notify: Notify) -> None:
    page = inbox(visit(guest))
    notify("first", to=guest)
    expect(titles(page)).to_have_text(["first"])
    notify("second", to=guest, priority="critical")
    expect(titles(page)).to_have_text(["second", "first"])
    expect(row(page, "second")).to_contain_text("Critical")
    expect(tab_count(page, "unread")).to_have_text("2")
    expect(page.locator("#bell-count")).to_be_hidden()
    page.wait_for_timeout(600)  # a toast would have come by now
    assert page.locator(".toast").count() == 0


def test_two_tabs_show_the_same(visit: Visit, guest: str, notify: Notify) -> None:
    visitor = visit(guest)
    page = visitor.page
    other = visitor.new_tab()
    other.goto(f"{visitor.address}/explorer")
    for title in ("one", "two"):
        notify(title, to=guest)
    for each in (page, other):
        expect(each.locator("#bell-count")).to_have_text("2")
    inbox(visitor, page=other)
    for each in (page, other):
        expect(each.locator("#bell-count")).to_be_hidden()
    third = inbox(visitor, page=visitor.new_tab())
    row(third, "one").get_by_role("button", name="Mark as read").click()
    expect(row(other, "one")).to_have_class(re.compile("is-read"))
    row(other, "two").get_by_role("button", name="Archive").click()
    expect(titles(third)).to_have_text(["one"])
    for each in (other, third):
        expect(tab_count(each, "unread")).to_be_hidden()
        expect(tab_count(each, "archived")).to_have_text("1")


def test_dismissing_its_toast_is_having_seen_it_in_the_inbox(visit: Visit, guest: str, notify: Notify) -> None:
    visitor = visit(guest)
    page = visitor.page
    notify("look", to=guest)
    expect(page.locator("#bell-count")).to_have_text("1")
    page.get_by_role("button", name="Dismiss “look”").click()
    expect(page.locator("#bell-count")).to_be_hidden()
    inbox(visitor)
    expect(row(page, "look")).to_have_count(1)
    expect(page.locator(".mark-new")).to_have_count(0)


def test_what_was_read_elsewhere_needs_no_toast(visit: Visit, guest: str, notify: Notify) -> None:
    """Nobody looks at this browser while it is read in another one."""
    visitor, elsewhere = visit(guest), visit(guest)
    visitor.page.close()
    visitor.context.add_init_script(
        "Object.defineProperty(document, 'visibilityState', {get: () => window.looked ? 'visible' : 'hidden'})"
    )
    page = visitor.new_tab()
    page.goto(f"{visitor.address}/explorer")
    notify("quick", to=guest)
    expect(page.locator("#bell-count")).to_have_text("1")
    inbox(elsewhere)
    expect(page.locator("#bell-count")).to_be_hidden()
    page.evaluate("() => { window.looked = true; document.dispatchEvent(new Event('visibilitychange')); }")
    page.wait_for_timeout(800)  # a toast would have come by now
    assert page.locator(".toast").count() == 0


def test_actions_with_the_keyboard_keep_the_keyboards_place(visit: Visit, guest: str, notify: Notify) -> None:
    for title in ("one", "two", "three"):
        notify(title, to=guest)
    page = inbox(visit(guest))
    expect(titles(page)).to_have_text(["three", "two", "one"])
    page.get_by_role("button", name="Mark as read: two").press("Enter")
    expect(page.get_by_role("button", name="Mark as unread: two")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Mark as read: two")).to_be_focused()
    page.get_by_role("button", name="Archive: two").press("Enter")
    expect(titles(page)).to_have_text(["three", "one"])
    expect(row(page, "one").get_by_role("button").first).to_be_focused()
    page.get_by_role("button", name="Delete: one").press("Enter")
    expect(row(page, "three").get_by_role("button").first).to_be_focused()
    page.get_by_role("link", name="Archived").click()
    expect(titles(page)).to_have_text(["two"])
    page.get_by_role("button", name="Move to inbox: two").press("Enter")
    expect(page.locator("#list-note")).to_contain_text("Nothing is archived.")
    page.get_by_role("link", name="Inbox").click()
    expect(titles(page)).to_have_text(["three", "two"])


def test_all_are_read_and_all_that_is_archived_is_deleted(visit: Visit, guest: str, notify: Notify) -> None:
    for title in ("one", "two", "kept"):
        notify(title, to=guest)
    page = inbox(visit(guest))
    for title in ("one", "two"):
        row(page, title).get_by_role("button", name="Archive").click()
        expect(row(page, title)).to_have_count(0)
    page.get_by_role("button", name="Mark all as read").click()
    expect(row(page, "kept")).to_have_class(re.compile("is-read"))
    expect(page.locator("#all")).to_be_hidden()
    page.get_by_role("link", name="Archived").click()
    page.reload()
    expect(titles(page)).to_have_count(2)
    page.get_by_role("button", name="Delete all archived").click()
    page.get_by_role("button", name="Keep them").click()
    expect(titles(page)).to_have_count(2)
    page.get_by_role("button", name="Delete all archived").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#list-note")).to_contain_text("Nothing is archived.")
    expect(tab_count(page, "inbox")).to_have_text("1")


def test_older_ones_are_shown_on_demand(visit: Visit, guest: str, notify: Notify) -> None:
    for number in range(52):
        notify(f"number {number}", to=guest, priority="low")
    page = inbox(visit(guest))
    expect(titles(page)).to_have_count(50)
    page.get_by_role("button", name="Show older").click()
    expect(titles(page)).to_have_count(52)
    expect(titles(page).last).to_have_text("number 0")
    expect(page.locator("#more")).to_be_hidden()
    notify("newest", to=guest)
    expect(titles(page)).to_have_count(53)


def test_who_follows_one_has_read_it(visit: Visit, guest: str, notify: Notify) -> None:
    notify("Rivers are in", to=guest, action_url="/sources?from=inbox")
    notify("Elsewhere", to=guest, action_url="https://example.org/x")
    visitor = visit(guest)
    page = inbox(visitor)
    outside = row(page, "Elsewhere").get_by_role("link")
    assert (outside.get_attribute("rel"), outside.get_attribute("target")) == ("noopener noreferrer", "_blank")
    expect(row(page, "Elsewhere")).to_contain_text("example.org")
    row(page, "Rivers are in").get_by_role("link").click()
    page.wait_for_url("**/sources?from=inbox")
    inbox(visitor)
    expect(row(page, "Rivers are in")).to_have_class(re.compile("is-read"))


def test_markup_stays_text(visit: Visit, guest: str, notify: Notify) -> None:
    page = inbox(visit(guest))
    markup = "<img src=x onerror=alert(1)>"
    notify(markup, to=guest, body=markup)
    expect(titles(page)).to_have_text([markup])
    expect(page.locator(".notification-body")).to_have_text(markup)
    assert page.locator("#notifications img").count() == 0


def test_a_request_that_fails_says_so_and_can_be_repeated(
    visit: Visit, guest: str, notify: Notify, expects_console_errors: None
) -> None:
    notify("one", to=guest)
    page = inbox(visit(guest))
    page.route("**/archive", lambda route: route.abort())
    page.get_by_role("button", name="Archive: one").click()
    expect(page.locator("#notice-words")).to_contain_text("cannot be reached")
    page.unroute("**/archive")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#list-note")).to_contain_text("Nothing here.")


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_narrow_screen(visit: Visit, guest: str, notify: Notify, width: int) -> None:
    page = inbox(visit(guest, viewport={"width": width, "height": 700}))
    notify("W" * 200, to=guest, body="W" * 300, action_url="https://" + "w" * 60 + ".example/", priority="critical")
    expect(titles(page)).to_have_count(1)
    page.locator("#bell").click()
    expect(page.locator("#bell-panel")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# The socket, as a browser sees it.

OPEN = """(address) => new Promise((resolve) => {
  const socket = new WebSocket(address);
  const frames = [];
  socket.onmessage = ({data}) => {
    frames.push(JSON.parse(data));
    if (frames.at(-1).type === "notification") { resolve({frames}); socket.close(); }
  };
  socket.onclose = ({code, reason, wasClean}) => resolve({code, reason, wasClean, frames});
})"""


@pytest.fixture
def stranger(browser: Browser, server: str) -> Any:
    """A page of ours in a browser that is not logged in: only the token in the address counts."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server}/login")
    yield page
    context.close()


def signed(key: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
    payload = {
        "sub": "user_alice",
        "org": ["org_demo"],
        "iat": int(time.time()),
        "jti": "1",
        "exp": int(time.time()) + 60,
    } | claims
    return jwt.encode(payload, key or settings.SECRET_KEY, algorithm)


def unsigned() -> str:
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": "user_alice", "exp": int(time.time()) + 60})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


BAD = {
    "no token": lambda: "nonsense",
    "empty": lambda: "",
    "expired": lambda: signed(exp=int(time.time()) - 60),
    "alg none": unsigned,
    "wrong key": lambda: signed("another-key-another-key-another-key-0123"),
    "foreign sub": lambda: signed(sub="user_bob"),
    "unknown sub": lambda: signed(sub="user_nobody"),
}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("bad", BAD)
def test_a_browser_sees_1008_invalid_token(stranger: Page, server: str, bad: str, slash: str) -> None:
    address = f"{server.replace('http', 'ws')}/ws/notifications/user_alice{slash}?token={BAD[bad]()}"
    seen = stranger.evaluate(OPEN, address)
    assert seen == {"code": 1008, "reason": "Invalid token", "wasClean": True, "frames": []}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_good_token_hears_its_users_notifications(stranger: Page, server: str, guest: str, notify: Notify, slash: str) -> None:
    notify("Workflow completed", to=guest, body="It is there.", action_url="/sources")
    address = f"{server.replace('http', 'ws')}/ws/notifications/user_{guest}{slash}?since=0&token={signed(sub=f'user_{guest}')}"
    frames = stranger.evaluate(OPEN, address)["frames"]
    assert frames[0]["type"] == "connected"
    assert frames[-1]["notification"] == {"title": "Workflow completed", "body": "It is there.", "action_url": "/sources"}
