"""The page of documents, in front of a real server: asked, reviewed, decided by two browsers, reloaded, gone back."""

import json
import os
import re
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Visitor

pytestmark = pytest.mark.browser

HTML = """<h1>Terms of delivery</h1>
<p>Payment is due within 30 days. The payment is made by bank transfer.</p>
<table><tr><th>Step</th><th>When</th></tr><tr><td>First payment</td><td>January</td></tr></table>
<ul><li>Late payment costs interest.</li></ul>
"""
SCRIPT = '<script>parent.document.title = "taken"; document.body.textContent = "a script ran";</script>'
REPLACE = 'replace "payment" with "invoice"'


def screenshot(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        # Frames of other processes are drawn a little later; a picture of more than the window would have them drawn anew.
        page.wait_for_timeout(500)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def ask(visitor: Visitor, message: str = REPLACE, html: str = HTML) -> Page:
    """A new document on the page, and a question about it."""
    page = visitor.page
    page.goto(f"{visitor.address}/documents")
    page.get_by_label("The document's HTML").fill(html)
    page.get_by_label("What is to be changed").fill(message)
    page.get_by_role("button", name="Ask", exact=True).click()
    return page


def test_a_change_is_looked_at_side_by_side_and_decided_alone(visit: Visit) -> None:
    page = ask(visit())
    expect(page.locator(".change")).to_have_count(3)
    expect(page.locator("#review-count")).to_have_text("3 changes wait for you.")
    first = page.locator(".change").first
    before, after = (first.frame_locator("iframe").nth(0), first.frame_locator("iframe").nth(1))
    expect(before.locator("del").first).to_have_text("Payment")
    expect(after.locator("ins").first).to_have_text("Invoice")
    screenshot(page, "documents-review")
    first.get_by_role("button", name="Approve").click()
    expect(first.locator(".state")).to_have_text("Approved by you")
    expect(page.locator("#review-count")).to_have_text("2 changes wait for you.")
    page.get_by_role("button", name="Deny all").click()
    expect(page.locator("#job-state")).to_have_text("Done")
    expect(page.locator("#job-response")).to_contain_text("1 of 3")
    shown = page.frame_locator("#document-frame")
    expect(shown.locator("p").first).to_contain_text("Invoice is due")
    expect(shown.locator("td").first).to_have_text("First payment")
    screenshot(page, "documents-done")


def test_nothing_in_a_document_runs(visit: Visit, expects_console_errors: None) -> None:
    visitor = visit()
    page = ask(visitor, html=f"{HTML}{SCRIPT}")
    expect(page.frame_locator("#document-frame").locator("h1")).to_have_text("Terms of delivery")
    assert page.title().startswith("Documents")
    address = page.locator("#document-frame").get_attribute("src")
    # Also for who opens it by itself.
    alone = visitor.context.new_page()
    alone.goto(f"{visitor.address}{address}")
    expect(alone.locator("h1")).to_have_text("Terms of delivery")
    expect(alone.locator("body")).not_to_contain_text("a script ran")
    assert all("Blocked script execution" in complaint for complaint in visitor.complaints), visitor.complaints


def test_a_reload_at_any_point_shows_the_same(visit: Visit) -> None:
    page = ask(visit())
    expect(page.locator(".change")).to_have_count(3)
    page.reload()
    expect(page.locator(".change")).to_have_count(3)
    page.locator(".change").nth(1).get_by_role("button", name="Approve").click()
    expect(page.locator("#review-count")).to_have_text("2 changes wait for you.")
    page.reload()
    expect(page.locator(".change").nth(1).locator(".state")).to_have_text("Approved by you")
    expect(page.locator("#review-count")).to_have_text("2 changes wait for you.")
    page.get_by_role("button", name="Approve all").click()
    expect(page.locator("#job-state")).to_have_text("Done")
    page.reload()
    expect(page.locator("#job-state")).to_have_text("Done")
    expect(page.locator("#job-question")).to_have_text(REPLACE)
    expect(page.frame_locator("#document-frame").locator("li")).to_have_text("Late invoice costs interest.")


def test_what_is_denied_with_a_reason_is_proposed_anew(visit: Visit) -> None:
    page = ask(visit(), html="<p>Payment is due.</p>")
    first = page.locator(".change").first
    first.get_by_label("What should be different").fill('replace "payment" with "money"')
    first.get_by_role("button", name="Deny").click()
    expect(page.locator(".change")).to_have_count(2)
    expect(first.locator(".state")).to_have_text("Denied by you")
    second = page.locator(".change").nth(1)
    expect(second.frame_locator("iframe").nth(1).locator("ins")).to_have_text("Money")
    screenshot(page, "documents-again")
    second.get_by_role("button", name="Approve").click()
    expect(page.frame_locator("#document-frame").locator("p")).to_have_text("Money is due.")


def test_a_version_is_gone_back_to_and_forth(visit: Visit) -> None:
    page = ask(visit())
    page.get_by_role("button", name="Approve all").click()
    expect(page.locator("#versions li")).to_have_count(2)
    page.get_by_role("button", name="Go back to version 1").click()
    expect(page.locator("#versions li")).to_have_count(3)
    expect(page.frame_locator("#document-frame").locator("p").first).to_contain_text("Payment is due")
    page.get_by_role("button", name="Go back to version 2").click()
    expect(page.frame_locator("#document-frame").locator("p").first).to_contain_text("Invoice is due")


def test_everything_at_once_from_a_file(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "terms.html"
    path.write_text(HTML)
    page = visit().page
    page.goto(f"{page.url}documents")
    page.get_by_label("or an HTML file").set_input_files(str(path))
    expect(page.get_by_label("The document's HTML")).to_have_value(HTML)
    page.get_by_label("What is to be changed").fill(REPLACE)
    page.get_by_label("Show me each change").uncheck()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#job-state")).to_have_text("Done")
    expect(page.locator("#job-progress")).to_contain_text("3 sections changed.")
    # The next question is about the same document.
    page.get_by_label("What is to be changed").fill('replace "invoice" with "bill"')
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.frame_locator("#document-frame").locator("li")).to_have_text("Late bill costs interest.")


def share(visitor: Visitor, session: str, user: str) -> None:
    """Lets another user take part."""
    cookies = {each["name"]: each["value"] for each in visitor.context.cookies()}
    request = urllib.request.Request(
        f"{visitor.address}/api/v1/chat/sessions/{session}/participants",
        json.dumps({"user": user}).encode(),
        {
            "Content-Type": "application/json",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": cookies["csrftoken"],
            "Origin": visitor.address,
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def test_two_browsers_decide_at_once_and_each_sees_what_the_other_did(visit: Visit, expects_console_errors: None) -> None:
    alice = visit("alice")
    page = ask(alice)
    expect(page.locator(".change")).to_have_count(3)
    session = re.sub(".*#", "", page.url)
    share(alice, session, "user_bob")
    bob = visit("bob")
    other = bob.page
    other.goto(f"{bob.address}/documents#{session}")
    expect(other.locator(".change")).to_have_count(3)
    # What one decides the other sees, without doing anything.
    other.locator(".change").nth(0).get_by_role("button", name="Approve").click()
    expect(page.locator(".change").nth(0).locator(".state")).to_have_text("Approved by bob")
    # Both press for the same change, differently: one wins, and both show who.
    # (Clicked by the pages themselves: the browser's own click would wait for what the other has changed.)
    page.locator(".change").nth(1).get_by_role("button", name="Deny").evaluate("button => void button.click()")
    other.evaluate("() => document.querySelectorAll('.change')[1].querySelector('.deciding button')?.click()")
    words = page.locator(".change").nth(1).locator(".state")
    expect(words).to_have_text(re.compile("(Denied by you|Approved by bob)"))
    won = words.inner_text()
    expect(other.locator(".change").nth(1).locator(".state")).to_have_text(
        "Denied by alice" if "Denied" in won else "Approved by you"
    )
    screenshot(other, "documents-second-user")
    page.get_by_role("button", name="Approve all").click()
    expect(other.locator("#job-state")).to_have_text("Done")
    expect(page.locator("#job-state")).to_have_text("Done")


def test_on_a_narrow_screen_everything_fits(visit: Visit) -> None:
    page = ask(visit(viewport={"width": 390, "height": 800}))
    expect(page.locator(".change")).to_have_count(3)
    screenshot(page, "documents-narrow")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
