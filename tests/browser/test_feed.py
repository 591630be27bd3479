"""One feed for all tabs, in a real browser: connections, toasts, the bell, reloads, outages, logins."""

import re
import time
import urllib.request
from collections import Counter

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Publisher, Visit, Visitor, script, until
from tests.browser.cuttable import CuttableNetwork

pytestmark = pytest.mark.browser

# Tells the test of each toast, and makes room for the next.
WATCH_TOASTS = """
  addEventListener("DOMContentLoaded", () => {
    const region = document.getElementById("toasts");
    if (!region) return;
    new MutationObserver((changes) => {
      for (const change of changes)
        for (const toast of change.addedNodes) {
          const title = toast.querySelector(".toast-title").textContent;
          toastShown(title);
          localStorage.setItem(`toast ${crypto.randomUUID()}`, title);
          setTimeout(() => toast.querySelector(".toast-dismiss").click(), 30);
        }
    }).observe(region, { childList: true });
  });
"""


def open_explorer(visitor: Visitor) -> Page:
    page = visitor.new_tab()
    page.goto(f"{visitor.address}/explorer")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    return page


def titles(page: Page) -> list[str]:
    """Of the events that the explorer shows, oldest first."""
    return [re.search(r'"title": "(.*)"', text)[1] for text in reversed(page.locator("#events pre").all_text_contents())]


def expect_titles(page: Page, *wanted: str) -> None:
    expect(page.locator("#events li")).to_have_count(len(wanted))
    assert titles(page) == list(wanted)


def toasts_of(context: BrowserContext) -> list[str]:
    """The titles of all toasts of all tabs that are opened from now on."""
    shown: list[str] = []
    context.expose_binding("toastShown", lambda _source, title: shown.append(title))
    context.add_init_script(WATCH_TOASTS)
    return shown


def noted_toasts(page: Page) -> list[str]:
    """The titles of all toasts of all tabs. A tab that is closed at that moment notes its toast, but may not tell us any more."""
    found: list[str] = page.evaluate(
        "Object.entries(localStorage).filter(([key]) => key.startsWith('toast ')).map((each) => each[1])"
    )
    return found


def open_feeds(server: str) -> float:
    """How many user feeds are open at the server."""
    with urllib.request.urlopen(f"{server}/metrics", timeout=5) as response:
        found = re.search(r'^throughline_open_feeds\{kind="user"\} (\S+)$', response.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def leading(pages: list[Page]) -> Page:
    """The tab that holds the connection."""
    found = [page for page in pages if "held by this tab" in page.locator("#holder").inner_text()]
    assert len(found) == 1, f"{len(found)} tabs say that they hold the connection"
    return found[0]


def test_ten_tabs_hold_one_connection_and_show_each_toast_once(visit: Visit, guest: str, server: str, publish: Publisher) -> None:
    visitor = visit(guest)
    shown = toasts_of(visitor.context)
    visitor.page.close()
    tabs = [open_explorer(visitor) for _ in range(10)]
    until(tabs[0], lambda: open_feeds(server) == 1, "one open feed at the server")
    wanted = [f"toast {number}" for number in range(3)]
    for title in wanted:
        publish(title, to=guest)
    for tab in tabs:
        expect_titles(tab, *wanted)
    until(tabs[0], lambda: len(shown) >= 3, "three toasts")
    tabs[0].wait_for_timeout(500)
    assert sorted(shown) == wanted
    assert open_feeds(server) == 1
    assert leading(tabs)


def test_closing_the_leading_tab_loses_no_toast_and_shows_none_twice(
    visit: Visit, guest: str, server: str, publish: Publisher
) -> None:
    visitor = visit(guest)
    toasts_of(visitor.context)
    visitor.page.close()
    tabs = [open_explorer(visitor) for _ in range(5)]
    until(tabs[0], lambda: open_feeds(server) == 1, "one open feed")
    wanted = []
    for number in range(16):
        publish(f"toast {number:02}", to=guest)
        wanted.append(f"toast {number:02}")
        if number % 4 == 2:
            leader = leading(tabs)
            tabs.remove(leader)
            # In the middle of things: the next event is published while there is no leader.
            leader.close()
        else:
            tabs[0].wait_for_timeout(60)
        for tab in tabs:
            if len(tabs) < 5 and number % 4 == 3:
                expect(tab.locator("#connection")).to_have_attribute("data-state", "live")
                until(
                    tab, lambda: any("held by this tab" in each.locator("#holder").inner_text() for each in tabs), "a new leader"
                )
    assert len(tabs) == 1
    expect_titles(tabs[0], *wanted)
    until(tabs[0], lambda: len(set(noted_toasts(tabs[0]))) == len(wanted), "every toast")
    tabs[0].wait_for_timeout(500)
    assert Counter(noted_toasts(tabs[0])) == Counter(wanted)
    assert open_feeds(server) == 1


def test_a_tab_opened_later_repeats_nothing(visit: Visit, guest: str, publish: Publisher) -> None:
    visitor = visit(guest)
    first = open_explorer(visitor)
    publish("before", to=guest)
    expect_titles(first, "before")
    second = open_explorer(visitor)
    publish("after", to=guest)
    expect_titles(second, "after")
    expect_titles(first, "before", "after")


def test_reload_keeps_the_cursor(visit: Visit, guest: str, publish: Publisher) -> None:
    visitor = visit(guest)
    shown = toasts_of(visitor.context)
    visitor.page.close()
    page = open_explorer(visitor)
    publish("seen", to=guest)
    expect_titles(page, "seen")
    until(page, lambda: shown == ["seen"], "the first toast")
    page.goto("about:blank")
    away = [f"away {number}" for number in range(3)]
    for title in away:
        publish(title, to=guest)
    page.goto(f"{visitor.address}/explorer")
    expect_titles(page, *away)
    until(page, lambda: len(shown) >= 4, "the toasts of the time away")
    page.reload()
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    publish("now", to=guest)
    expect_titles(page, "now")
    until(page, lambda: "now" in shown, "the last toast")
    assert Counter(shown) == Counter(["seen", *away, "now"])


def test_a_first_visit_without_an_event_is_a_place_to_come_back_to(
    visit: Visit, guest: str, server: str, publish: Publisher
) -> None:
    """In a browser that has never had a cursor."""
    publish("long before", to=guest)
    time.sleep(3)  # so that it is: the server tells its time in whole seconds, and a little late
    visitor = visit(guest)
    page = visitor.page
    page.goto("about:blank")
    until(page, lambda: open_feeds(server) == 0, "the feed to be closed")
    publish("away", to=guest)
    page.goto(f"{visitor.address}/explorer")
    expect_titles(page, "away")


def test_offline_for_30_seconds_and_back(
    visit: Visit, guest: str, network: CuttableNetwork, publish: Publisher, expects_console_errors: None
) -> None:
    visitor = visit(guest, address=network.address)
    shown = toasts_of(visitor.context)
    visitor.page.close()
    tabs = [open_explorer(visitor) for _ in range(2)]
    publish("before", to=guest)
    for tab in tabs:
        expect_titles(tab, "before")
    visitor.context.set_offline(True)
    network.cut()
    for tab in tabs:
        expect(tab.locator("#connection-words")).to_contain_text("Connection lost")
    publish("meanwhile 1", to=guest)
    tabs[0].wait_for_timeout(30_000)
    publish("meanwhile 2", to=guest)
    network.mend()
    visitor.context.set_offline(False)
    for tab in tabs:
        expect(tab.locator("#connection-words")).to_have_text("Connected", timeout=5000)
        expect_titles(tab, "before", "meanwhile 1", "meanwhile 2")
    until(tabs[0], lambda: len(shown) >= 3, "the toasts")
    assert Counter(shown) == Counter(["before", "meanwhile 1", "meanwhile 2"])


def test_a_toast_waits_until_someone_looks(visit: Visit, guest: str, publish: Publisher) -> None:
    """All tabs are hidden - behind another program - when the event comes; then one is looked at."""
    visitor = visit(guest)
    visitor.page.close()
    visitor.context.add_init_script(
        "Object.defineProperty(document, 'visibilityState', {get: () => window.looked ? 'visible' : 'hidden'})"
    )
    tabs = [open_explorer(visitor) for _ in range(2)]
    publish("unseen", to=guest)
    for tab in tabs:
        expect_titles(tab, "unseen")
        expect(tab.locator("#bell-count")).to_have_text("1")
    assert [tab.locator(".toast").count() for tab in tabs] == [0, 0]
    tabs[1].evaluate("() => { window.looked = true; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(tabs[1].locator(".toast")).to_contain_text("unseen")
    tabs[0].evaluate("() => { window.looked = true; document.dispatchEvent(new Event('visibilitychange')); }")
    tabs[0].wait_for_timeout(500)
    assert tabs[0].locator(".toast").count() == 0


def test_a_day_away_is_one_toast_and_a_full_bell(visit: Visit, guest: str, publish: Publisher) -> None:
    visitor = visit(guest)
    page = visitor.page
    publish("seen", to=guest)
    expect(page.locator(".toast")).to_contain_text("seen")
    page.goto("about:blank")
    for number in range(30):
        publish(f"away {number}", to=guest)
    page.goto(f"{visitor.address}/explorer")
    many = page.locator(".toast").filter(has_text=re.compile(r"\d+ notices"))
    expect(many).to_have_count(1)
    many.get_by_role("button", name="Show them").click()
    expect(page.locator("#bell-list li")).to_have_count(31)
    expect(page.locator("#bell-list li").first).to_contain_text("away 29")


def test_the_bell_counts_what_is_unseen_in_all_tabs(visit: Visit, guest: str, publish: Publisher) -> None:
    visitor = visit(guest)
    page = visitor.page
    other = open_explorer(visitor)
    publish("first", to=guest)
    publish("second", to=guest)
    for each in (page, other):
        expect(each.locator("#bell-count")).to_have_text("2")
        expect(each.get_by_role("button", name="Notices, 2 unseen")).to_be_visible()
    other.get_by_role("button", name="Notices, 2 unseen").press("Enter")
    expect(other.locator("#bell-list li")).to_have_text([re.compile("second"), re.compile("first")])
    expect(other.locator("#bell-list li[data-unseen]")).to_have_count(2)
    expect(page.locator("#bell-count")).to_be_hidden()
    other.keyboard.press("Escape")
    expect(other.locator("#bell-panel")).to_be_hidden()
    expect(other.locator("#bell")).to_be_focused()
    page.reload()
    page.locator("#bell").click()
    expect(page.locator("#bell-list li")).to_have_count(2)
    expect(page.locator("#bell-list li[data-unseen]")).to_have_count(0)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#bell-empty")).to_be_visible()


def test_dismissing_a_toast_is_having_seen_it(visit: Visit, guest: str, publish: Publisher) -> None:
    page = visit(guest).page
    publish("look", to=guest)
    expect(page.locator("#bell-count")).to_have_text("1")
    page.get_by_role("button", name="Dismiss “look”").click()
    expect(page.locator(".toast")).to_have_count(0)
    expect(page.locator("#bell-count")).to_be_hidden()


def test_a_complete_answer_is_a_toast_elsewhere_and_none_where_it_is_read(visit: Visit, guest: str) -> None:
    visitor = visit(guest)
    visitor.page.get_by_label("Your question").fill("hello there")
    visitor.page.get_by_label("Your question").press("Enter")
    visitor.page.locator("li.message.assistant[data-status=completed]").wait_for()
    visitor.page.wait_for_timeout(600)
    assert visitor.page.locator(".toast").count() == 0
    assert visitor.page.locator("#bell-count").is_hidden()
    visitor.page.get_by_label("Your question").fill(script({"text": "Begun. "}, {"pause": 3}, {"text": "later"}))
    visitor.page.get_by_label("Your question").press("Enter")
    expect(visitor.page.locator("li.message.assistant").last).to_contain_text("Begun.")
    visitor.page.goto(f"{visitor.address}/sources")
    toast = visitor.page.locator(".toast")
    expect(toast).to_contain_text("An answer is complete")
    toast.get_by_role("link").click()
    expect(visitor.page.locator("li.message.assistant").last).to_contain_text("later")


def test_markup_in_an_event_stays_text(visit: Visit, guest: str, publish: Publisher) -> None:
    page = visit(guest).page
    title = "<img src=x onerror=alert(1)>"
    publish(title, to=guest)
    expect(page.locator(".toast-title")).to_have_text(title)
    page.locator("#bell").click()
    expect(page.locator(".bell-title")).to_contain_text(title)
    assert page.locator(".toast img, .bell-list img").count() == 0


def test_logout_ends_the_feed_of_all_tabs_and_a_login_revives_them(
    visit: Visit, guest: str, publish: Publisher, expects_console_errors: None
) -> None:
    visitor = visit(guest)
    page = visitor.page
    other = open_explorer(visitor)
    cookies = visitor.context.cookies()
    token = next(cookie["value"] for cookie in cookies if cookie["name"] == "csrftoken")
    answer = visitor.context.request.post(f"{visitor.address}/logout", headers={"X-CSRFToken": token, "Referer": visitor.address})
    assert answer.ok
    for each in (page, other):
        expect(each.locator("#connection-words")).to_have_text("You are signed out.", timeout=20_000)
        expect(each.locator("#connection").get_by_role("link", name="Log in")).to_be_visible()
    again = visitor.new_tab()
    again.goto(f"{visitor.address}/login")
    again.get_by_label("Username").fill(guest)
    again.get_by_label("Password").fill("bob")
    again.get_by_role("button", name="Log in").click()
    for each in (again, page, other):
        expect(each.locator("#connection-words")).to_have_text("Connected")
    publish("back again", to=guest)
    expect_titles(other, "back again")


def test_who_logs_out_leaves_no_notices_behind(visit: Visit, guest: str, publish: Publisher) -> None:
    visitor = visit(guest)
    page = visitor.page
    publish("private", to=guest)
    expect(page.locator("#bell-count")).to_have_text("1")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    kept = page.evaluate(
        """(name) => new Promise((resolve) => {
          const opening = indexedDB.open(name);
          opening.onsuccess = () => {
            const all = opening.result.transaction("notices").objectStore("notices").getAll();
            all.onsuccess = () => resolve(all.result.length);
          };
        })""",
        f"throughline-notices:user_{guest}",
    )
    assert kept == 0
