"""Preferences, quiet hours, the rule editor and pushes, in a real browser."""

import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Publisher, Visit, Visitor, until

pytestmark = pytest.mark.browser

ORG = "org_demo"


@pytest.fixture
def chief(guest: str, own_database: str) -> str:
    """A user of this test alone, who administers org_demo."""
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO accounts_membership (organization_id, user_id, role) SELECT o.id, u.id, 'admin' "
            "FROM accounts_organization o, accounts_user u WHERE o.public_id = %s AND u.username = %s",
            (ORG, guest),
        )
    return guest


def settings_page(visitor: Visitor) -> Page:
    page = visitor.page
    page.goto(f"{visitor.address}/notifications/settings")
    expect(page.locator("#rules-note")).to_have_text("")
    expect(page.locator("#rules tr")).not_to_have_count(0)
    return page


def happen(publish: Publisher, source: str, number: int, **payload: Any) -> None:
    body = {"topic": f"events.{ORG}.{source}.order.placed.o{number}", "payload": {"number": number, **payload}}
    publish._post("/api/v1/topics/publish", body, Authorization=f"Bearer {publish._token}")


def picture(page: Page, name: str) -> None:
    """Kept where whoever asked for it looks at it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_rule_is_written_tried_saved_and_tells(
    visit: Visit, chief: str, publish: Publisher, expects_console_errors: None
) -> None:
    visitor = visit(chief)
    page, source = settings_page(visitor), f"shop_{chief}"
    for number in (1, 5):
        happen(publish, source, number)
    page.get_by_role("button", name="New rule").click()
    dialog = page.locator("#editor")
    dialog.get_by_label("Name").fill("Large orders")
    dialog.get_by_label("Events on topics like").fill(f"events.{ORG}.{source}.order.placed.*")
    dialog.get_by_label("Only if").fill("payload.number >")
    dialog.get_by_label("Title").fill("Order {{ payload.number }}")
    dialog.get_by_role("button", name="Try on recent events").click()
    expect(page.locator("#rule-problem")).to_contain_text("condition")
    dialog.get_by_label("Only if").fill("payload.number > 3")
    dialog.get_by_role("button", name="Try on recent events").click()
    expect(page.locator("#trial-words")).to_contain_text("1 of the last")
    expect(page.locator("#trial li")).to_contain_text(f"to {chief}")
    expect(page.locator("#trial li b")).to_have_text("Order 5")
    expect(page.locator("#rule-problem")).to_be_hidden()
    picture(page, "rule-editor")
    dialog.get_by_role("button", name="Save").click()
    row = page.locator("#rules tr").filter(has_text="Large orders")
    expect(row).to_contain_text(source)
    picture(page, "settings")

    happen(publish, source, 2)
    happen(publish, source, 7)
    expect(page.locator(".toast")).to_contain_text("Order 7")
    expect(page.locator("#bell-count")).to_have_text("1")

    row.get_by_role("button", name="Change Large orders").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_choices_and_quiet_hours_are_kept(visit: Visit, chief: str) -> None:
    visitor = visit(chief, timezone_id="Europe/Berlin")
    page = settings_page(visitor)
    expect(page.locator("#quiet-zone")).to_have_value("Europe/Berlin")
    page.get_by_label("From").fill("21:30")
    page.locator("#quiet button[type=submit]").click()
    expect(page.locator("#quiet-words")).to_have_text("Quiet from 21:30 to 07:00, Europe/Berlin.")
    with page.expect_response("**/notifications/preferences"):
        page.get_by_label("New message: push").uncheck()
    page.reload()
    expect(page.get_by_label("New message: push")).not_to_be_checked()
    expect(page.get_by_label("New message: websocket")).to_be_checked()
    expect(page.get_by_label("From")).to_have_value("21:30")
    page.get_by_role("button", name="No quiet hours").click()
    expect(page.locator("#quiet-words")).to_have_text("You have no quiet hours.")


def test_the_service_worker_shows_a_push_and_leads_to_what_it_is_about(visit: Visit, chief: str) -> None:
    visitor = visit(chief)
    visitor.context.grant_permissions(["notifications"], origin=visitor.address)
    page = settings_page(visitor)
    protocol = visitor.context.new_cdp_session(page)
    registrations: list[dict[str, Any]] = []
    protocol.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"]))
    protocol.send("ServiceWorker.enable")
    page.evaluate(
        "async () => { await navigator.serviceWorker.register('/notifications/push-worker.js', {scope: '/'});"
        " await navigator.serviceWorker.ready; }"
    )
    told = {"title": "Order 7", "body": "Look.", "action_url": "/sources", "priority": "high", "tag": "t1"}
    mine = f"{visitor.address}/"
    until(page, lambda: any(each["scopeURL"] == mine for each in registrations), "the protocol to tell of the worker")
    registration = next(each for each in registrations if each["scopeURL"] == mine)
    # Not asked by getNotifications() until all are there: Chromium then forgets one that it is about to show.
    displayed: list[dict[str, Any]] = []
    protocol.on("BackgroundService.backgroundServiceEventReceived", lambda event: displayed.append(event))
    protocol.send("BackgroundService.startObserving", {"service": "notifications"})
    protocol.send("BackgroundService.setRecording", {"shouldRecord": True, "service": "notifications"})
    for data in (json.dumps(told), json.dumps(told | {"body": "Again."}), "no json"):
        displayed.clear()
        sent = {"origin": visitor.address, "registrationId": registration["registrationId"], "data": data}
        protocol.send("ServiceWorker.deliverPushMessage", sent)
        until(page, lambda: displayed, "the browser to show the push")
    shown = (
        "async () => (await (await navigator.serviceWorker.ready).getNotifications()).map((n) => [n.title, n.body, n.data.url])"
    )
    # The same one again replaces itself; one that cannot be read is shown all the same.
    assert sorted(page.evaluate(shown)) == [["Order 7", "Again.", "/sources"], ["Something happened", "", "/notifications"]]


def test_doing_something_on_a_page_is_told_and_an_open_tab_alone_is_not(visit: Visit, chief: str) -> None:
    visitor = visit(chief)
    page = visitor.page
    told: list[str] = []
    page.on("request", lambda request: told.append(request.url) if request.url.endswith("/notifications/activity") else None)
    page.reload()
    page.get_by_text("Connected", exact=True).wait_for()
    assert told == []
    with page.expect_request("**/notifications/activity"):
        page.mouse.click(5, 300)
    page.mouse.click(6, 300)
    assert len(told) == 1
