"""The page of sources, in a real browser, with a real worker."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, Visitor

pytestmark = pytest.mark.browser

RIVERS = b"# Rivers\n\nThe Danube flows through ten countries.\n\n# Mountains\n\nThe Matterhorn stands in the Alps.\n"
SECONDS = 40_000


def sources(visit: Visit, username: str, **options: object) -> Page:
    return opened(visit(username, **options))


def opened(visitor: Visitor) -> Page:
    visitor.page.goto(f"{visitor.address}/sources")
    expect(visitor.page.locator("#list-note")).not_to_have_text("Loading…")
    return visitor.page


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    page.get_by_label("Choose files").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
    )


def row(page: Page, name: str, status: str = "") -> Locator:
    found = page.locator(f"#sources li[data-status={status}]" if status else "#sources li")
    return found.filter(has=page.get_by_text(name, exact=True))


def long_text(paragraphs: int) -> bytes:
    """So much that its taking in can be watched."""
    return "\n\n".join(f"Paragraph {n} tells of subject {n} at some length. " * 8 for n in range(paragraphs)).encode()


def test_a_chosen_file_is_taken_in_and_can_be_searched(visit: Visit, guest: str) -> None:
    page = sources(visit, guest)
    expect(page.locator("#list-note")).to_contain_text("No sources yet")
    expect(page.locator("#searching")).to_be_hidden()
    choose(page, ("rivers.md", RIVERS))
    expect(row(page, "rivers.md", "ready")).to_have_count(1, timeout=SECONDS)
    expect(row(page, "rivers.md").locator(".source-state")).to_have_text(re.compile(r"Ready, \d+ passages?"))
    expect(page.locator("#list-note")).to_be_empty()
    page.get_by_label("What to search for").fill("Which river flows through ten countries?")
    page.get_by_label("What to search for").press("Enter")
    expect(page.locator(".passage").first).to_contain_text("Danube", timeout=SECONDS)
    page.reload()
    expect(row(page, "rivers.md", "ready")).to_have_count(1)


def test_progress_is_shown_live_and_can_be_cancelled(visit: Visit, guest: str) -> None:
    visitor = visit(guest)
    page = opened(visitor)
    other = visitor.new_tab()
    other.goto(page.url)
    choose(page, ("long.txt", long_text(6000)))
    for each in (page, other):
        expect(row(each, "long.txt", "processing").locator(".source-state")).to_have_text(re.compile(r": \d+ %"), timeout=SECONDS)
        expect(row(each, "long.txt").get_by_role("progressbar")).to_be_visible()
    row(page, "long.txt").get_by_role("button", name="Cancel").click()
    for each in (page, other):
        expect(row(each, "long.txt", "cancelled").locator(".source-state")).to_have_text("Cancelled.", timeout=SECONDS)
        expect(row(each, "long.txt").get_by_role("progressbar")).to_be_hidden()
    assert page.locator(".toast").count() == 0


def test_a_dropped_file_is_taken_in(visit: Visit, guest: str) -> None:
    page = sources(visit, guest)
    transfer = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["A sentence about lakes."], "lakes.txt", { type: "text/plain" }));
          return transfer;
        }"""
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": transfer})
    expect(page.locator("#drop.over")).to_have_count(1)
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.locator("#drop.over")).to_have_count(0)
    expect(row(page, "lakes.txt", "ready")).to_have_count(1, timeout=SECONDS)


def test_a_pasted_text_is_taken_in_again_and_deleted_with_the_keyboard(visit: Visit, guest: str) -> None:
    page = sources(visit, guest)
    page.get_by_text("Or paste a text").press("Enter")
    page.get_by_label("Name").fill("Notes on rain")
    page.get_by_label("Text", exact=True).fill("Rain falls mainly in the hills.")
    page.get_by_role("button", name="Add the text").press("Enter")
    expect(row(page, "Notes on rain", "ready")).to_have_count(1, timeout=SECONDS)
    expect(page.get_by_label("Name")).to_be_hidden()
    page.get_by_role("button", name="Take in again: Notes on rain").press("Enter")
    expect(page.locator("#announcements")).to_have_text("Notes on rain: ready.", timeout=SECONDS)
    expect(row(page, "Notes on rain", "ready")).to_have_count(1, timeout=SECONDS)
    expect(page.get_by_role("button", name="Delete: Notes on rain")).to_be_enabled()
    page.get_by_role("button", name="Delete: Notes on rain").press("Enter")
    page.get_by_role("button", name="Keep it").press("Enter")
    expect(row(page, "Notes on rain")).to_have_count(1)
    page.get_by_role("button", name="Delete: Notes on rain").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(row(page, "Notes on rain")).to_have_count(0)
    expect(page.locator("#list-note")).to_contain_text("No sources yet")


def test_files_that_cannot_be_taken_say_why_and_what_to_do(visit: Visit, guest: str, expects_console_errors: None) -> None:
    page = sources(visit, guest)
    choose(page, ("picture.png", b"\x89PNG\r\n\x1a\n"), ("empty.txt", b""), ("good.txt", b"Some words."))
    uploads = page.locator("#uploads li")
    expect(uploads.filter(has_text="picture.png").locator(".source-error")).to_contain_text(
        "Accepted are txt, md, html, pdf, docx"
    )
    expect(uploads.filter(has_text="empty.txt").locator(".source-error")).to_have_text("The file is empty. Choose another one.")
    expect(row(page, "good.txt", "ready")).to_have_count(1, timeout=SECONDS)
    expect(uploads).to_have_count(2)
    for _ in range(2):
        uploads.first.get_by_role("button", name="Remove").click()
    expect(uploads).to_have_count(0)


def test_a_broken_document_says_so_in_its_row_and_as_a_toast_elsewhere(visit: Visit, guest: str) -> None:
    visitor = visit(guest)
    page = opened(visitor)
    choose(page, ("broken.pdf", b"%PDF-1.7\nthis is no document\n"))
    expect(row(page, "broken.pdf", "failed").locator(".source-error")).not_to_be_empty(timeout=SECONDS)
    page.get_by_role("button", name="Take in again: broken.pdf").click()
    page.goto(f"{visitor.address}/explorer")
    expect(page.locator(".toast[data-tone=bad]")).to_contain_text("broken.pdf", timeout=SECONDS)
    expect(page.locator(".toast[data-tone=bad]").get_by_role("link")).to_have_attribute("href", "/sources")


def test_a_file_that_could_not_be_sent_can_be_sent_again(visit: Visit, guest: str, expects_console_errors: None) -> None:
    page = sources(visit, guest)
    page.route("**/api/v1/sources", lambda route: route.abort() if route.request.method == "POST" else route.fallback())
    choose(page, ("late.txt", b"Better late than never."))
    expect(page.locator("#uploads .source-error")).to_contain_text("cannot be reached")
    page.unroute("**/api/v1/sources")
    page.get_by_role("button", name="Try again").click()
    expect(row(page, "late.txt", "ready")).to_have_count(1, timeout=SECONDS)
    expect(page.locator("#uploads li")).to_have_count(0)


def test_a_name_with_markup_stays_text(visit: Visit, guest: str) -> None:
    page = sources(visit, guest)
    name = "<img src=x onerror=alert(1)>.txt"
    choose(page, (name, b"Words."))
    expect(row(page, name, "ready")).to_have_count(1, timeout=SECONDS)
    assert page.locator("#sources img").count() == 0
