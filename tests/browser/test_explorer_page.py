"""The explorer, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Publisher, Visit

pytestmark = pytest.mark.browser


def explorer(visit: Visit, username: str, **options: object) -> Page:
    visitor = visit(username, **options)
    visitor.page.goto(f"{visitor.address}/explorer")
    expect(visitor.page.locator("#connection")).to_have_attribute("data-state", "live")
    return visitor.page


def test_events_are_shown_as_they_come(visit: Visit, guest: str, publish: Publisher) -> None:
    page = explorer(visit, guest)
    expect(page.locator("#note")).to_contain_text("Waiting for the first event")
    id = publish("one", type="build.done", to=guest)
    row = page.locator("#events li").first
    expect(row.locator(".event-type")).to_have_text("build.done")
    expect(row.locator(".event-id")).to_have_text(id)
    expect(row.locator("time")).not_to_be_empty()
    expect(row.locator("pre")).to_have_text('{\n  "title": "one"\n}')
    expect(page.locator("#cursor")).to_have_text(id)
    publish("two", to=guest)
    expect(page.locator("#events li")).to_have_count(2)
    expect(page.locator("#events li").first).to_contain_text("two")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#events li")).to_have_count(0)


def test_a_pause_holds_events_back_and_loses_none(visit: Visit, guest: str, publish: Publisher) -> None:
    page = explorer(visit, guest)
    page.get_by_role("button", name="Pause").click()
    for title in ("one", "two"):
        publish(title, to=guest)
    expect(page.locator("#pause")).to_have_text("Go on (2 waiting)")
    expect(page.locator("#events li")).to_have_count(0)
    page.locator("#pause").click()
    expect(page.locator("#events li")).to_have_count(2)
    expect(page.locator("#pause")).to_have_text("Pause")


def test_a_filter_shows_only_what_contains_it(visit: Visit, guest: str, publish: Publisher) -> None:
    page = explorer(visit, guest)
    publish("apples", type="fruit.ripe", to=guest)
    publish("pears", type="fruit.ripe", to=guest)
    expect(page.locator("#events li")).to_have_count(2)
    page.get_by_label("Show only events that contain").fill("PEAR")
    expect(page.locator("#events li:visible")).to_have_count(1)
    publish("more pears", type="fruit.ripe", to=guest)
    publish("more apples", type="fruit.ripe", to=guest)
    expect(page.locator("#received")).to_have_text("4")
    expect(page.locator("#events li:visible")).to_have_count(2)
    page.get_by_label("Show only events that contain").fill("bananas")
    expect(page.locator("#note")).to_have_text("None of 4 events contains that.")


def test_staff_publishes_a_test_event(visit: Visit, expects_console_errors: None) -> None:
    page = explorer(visit, "demo")
    page.get_by_text("Publish a test event").click()
    page.get_by_role("button", name="Publish").press("Enter")
    expect(page.locator("#events .event-type").first).to_have_text("demo.greeting")
    expect(page.locator("#publish-done")).to_contain_text("Published as")
    page.get_by_label("Payload, a JSON object").fill("{")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#publish-error")).to_contain_text("must be a JSON object")
    page.get_by_label("Payload, a JSON object").fill("{}")
    page.get_by_label("To the user with the id").fill("nobody")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#publish-error")).to_be_visible()
    expect(page.locator("#publish-error")).to_contain_text("nobody")
    expect(page.locator("#events li")).to_have_count(1)


def test_others_have_no_form_for_that(visit: Visit, guest: str) -> None:
    page = explorer(visit, guest)
    assert page.locator("#publish").count() == 0


@pytest.mark.parametrize("path", ["/explorer", "/sources"])
@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_narrow_screen(visit: Visit, guest: str, publish: Publisher, path: str, width: int) -> None:
    visitor = visit(guest, viewport={"width": width, "height": 700})
    page = visitor.page
    page.goto(f"{visitor.address}{path}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    publish("W" * 200, to=guest, type="long." + "x" * 90)
    expect(page.locator(".toast")).to_have_count(1)
    page.locator("#bell").click()
    expect(page.locator("#bell-list li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panel = page.locator("#bell-panel").bounding_box()
    assert panel["x"] >= 0
    assert panel["x"] + panel["width"] <= width


def test_a_pattern_shows_what_was_and_what_comes(visit: Visit) -> None:
    page = explorer(visit, "alice")
    page.get_by_text("Publish an event on a topic").click()
    page.get_by_label("Message, in its payload").fill("before")
    page.get_by_role("button", name="Publish on the topic").click()
    expect(page.locator("#topic-publish-done")).to_contain_text("Published as evt_")
    page.get_by_label("Pattern; several").fill("events.org_demo.custom.test.*.explorer")
    page.get_by_role("button", name="Subscribe").click()
    rows = page.locator("#topic-events li")
    expect(rows.first).to_contain_text("before")
    expect(rows.first.locator(".event-type")).to_have_text("events.org_demo.custom.test.greeted.explorer")
    count = rows.count()
    page.get_by_label("Message, in its payload").fill("after")
    page.get_by_role("button", name="Publish on the topic").click()
    expect(rows).to_have_count(count + 1)
    expect(rows.first).to_contain_text("after")
    expect(page.locator("#topic-cursor")).to_have_text(rows.first.get_attribute("data-id") or "")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Publish on the topic").click()
    expect(page.locator("#topic-note")).to_have_text("Stopped.")
    expect(rows).to_have_count(count + 1)


def test_a_refused_pattern_or_topic_is_explained(visit: Visit, expects_console_errors: None) -> None:
    page = explorer(visit, "alice")
    page.get_by_label("Pattern; several").fill("events.org_demo.flows")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.locator("#topic-error")).to_contain_text("has the form events.{org}")
    page.get_by_label("Pattern; several").fill("events.org_other.a.b.c.* events.org_demo.a.b.c.*")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.locator("#topic-error")).to_contain_text("no member of the organisation")
    expect(page.locator("#topic-note")).to_contain_text("Listening to events.org_demo.a.b.c.*")
    page.get_by_text("Publish an event on a topic").click()
    page.locator("#topic-publish-topic").fill("events.org_demo.tasks.task.completed.t1")
    page.get_by_role("button", name="Publish on the topic").click()
    expect(page.locator("#topic-publish-error")).to_contain_text("are for services")
