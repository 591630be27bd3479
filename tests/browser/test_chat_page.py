"""The chat page, in a real browser in front of the running product."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Visit, script
from tests.browser.cuttable import CuttableNetwork

pytestmark = pytest.mark.browser

LAST_ANSWER = "li.message.assistant:last-child"


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")


def answer(page: Page, status: str = "") -> Locator:
    return page.locator(f"{LAST_ANSWER}[data-status={status}]" if status else LAST_ANSWER)


def wait_for(page: Page, status: str) -> Locator:
    found = answer(page, status)
    found.wait_for()
    return found


def text_of(message: Locator) -> str:
    return message.locator(":scope > .text").evaluate("element => element.textContent")


def words(count: int) -> str:
    """What the step {"tokens": count} writes."""
    return "".join(f"w{number} " for number in range(count))


def wait_for_text(page: Page, text: str) -> None:
    expect(answer(page).locator(":scope > .text")).to_contain_text(text)


def assert_exact(page: Page, count: int) -> None:
    wait_for(page, "completed")
    expect(answer(page).locator(":scope > .rendered")).to_have_count(1)
    assert text_of(answer(page)).split() == words(count).split()


def test_question_is_answered_piece_by_piece_and_rendered_after_the_end(visit: Visit) -> None:
    page = visit().page
    ask(page, script({"text": "**Bold** "}, {"pause": 1}, {"text": "\n\n- and a list"}, {"pause": 1}))
    wait_for_text(page, "**Bold** ")
    assert answer(page).get_attribute("data-status") == "running"
    assert answer(page).get_attribute("aria-busy") == "true"
    wait_for_text(page, "- and a list")
    wait_for(page, "completed")
    expect(answer(page).locator("strong")).to_have_text("Bold")
    expect(answer(page).locator("li")).to_have_text("and a list")
    assert answer(page).get_attribute("aria-busy") == "false"


def test_text_before_the_end_is_shown_exactly_as_written(visit: Visit) -> None:
    page = visit().page
    text = "  spaces\n\n\n# and lines\n" + "long line 🐎 " * 200 + "\nx\n" * 400
    ask(page, script({"text": text}, {"pause": 3}))
    wait_for_text(page, "x")
    page.wait_for_function(
        "length => document.querySelector('li.message.assistant:last-child > .text').textContent.length >= length",
        arg=len(text) + 200,
    )
    assert text_of(answer(page)) == text
    assert 1 < answer(page).locator(".piece").count() < 10


def test_thought_and_sources_are_shown_apart(visit: Visit) -> None:
    page = visit().page
    source = {"title": "A book", "text": "What it says.", "url": "https://books.test/1"}
    ask(page, script({"reasoning": "Let me see. "}, {"reasoning": "Yes."}, {"sources": [source]}, {"text": "Done."}))
    message = wait_for(page, "completed")
    message.get_by_text("What it thought").click()
    expect(message.locator(".thought-text")).to_have_text("Let me see. Yes.")
    message.get_by_text("Sources").click()
    expect(message.get_by_role("link", name="A book")).to_have_attribute("href", "https://books.test/1")
    page.reload()
    wait_for(page, "completed")
    expect(answer(page).locator(".thought-text")).to_have_text("Let me see. Yes.")
    expect(answer(page).locator(".source-text")).to_have_text("What it says.")


def test_what_somebody_has_opened_stays_open_when_the_answer_is_rendered(visit: Visit) -> None:
    page = visit().page
    source = {"title": "A book", "text": "What it says.", "url": "https://books.test/1"}
    ask(page, script({"reasoning": "Let me see."}, {"sources": [source]}, {"text": "**Done.**"}, {"pause": 5}))
    wait_for_text(page, "Done.")
    for summary in ("What it thought", "Sources"):
        answer(page).get_by_text(summary).click()
    assert answer(page).get_attribute("data-status") == "running"
    wait_for(page, "completed")
    expect(answer(page).locator("strong")).to_have_text("Done.")
    expect(answer(page).locator("details[open]")).to_have_count(2)
    expect(answer(page).get_by_role("link", name="A book")).to_be_visible()
    answer(page).get_by_text("What it thought").click()
    expect(answer(page).locator("details[open]")).to_have_count(1)


def test_stop_ends_the_answer_and_keeps_its_text(visit: Visit) -> None:
    page = visit().page
    ask(page, script({"text": "The beginning. "}, {"hang": True}))
    wait_for_text(page, "The beginning.")
    page.get_by_role("button", name="Stop", exact=True).click()
    message = wait_for(page, "cancelled")
    expect(message).to_contain_text("Stopped.")
    assert text_of(message).strip() == "The beginning."
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_reload_in_the_middle_goes_on_without_a_lost_or_doubled_word(visit: Visit) -> None:
    page = visit().page
    ask(page, script({"tokens": 250, "per_second": 40}))
    for word in ("w20 ", "w80 ", "w140 "):
        wait_for_text(page, word)
        page.reload()
        wait_for_text(page, word)
        assert words(250).startswith(text_of(answer(page)))
    assert_exact(page, 250)


def test_answer_goes_on_after_the_network_was_away(visit: Visit, network: CuttableNetwork, expects_console_errors: None) -> None:
    page = visit(address=network.address).page
    ask(page, script({"tokens": 240, "per_second": 40}))
    wait_for_text(page, "w20 ")
    network.cut()
    expect(page.locator("#connection")).to_contain_text("Connection lost; answers go on meanwhile.")
    before = text_of(answer(page))
    network.mend()
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#connection")).to_contain_text("Connected", timeout=30_000)
    wait_for_text(page, "w120 ")
    assert text_of(answer(page)).startswith(before)
    assert words(240).startswith(text_of(answer(page)))
    assert_exact(page, 240)


def test_answer_cut_many_times_is_exact(visit: Visit, network: CuttableNetwork, expects_console_errors: None) -> None:
    page = visit(address=network.address).page
    ask(page, script({"tokens": 400, "per_second": 40}))
    for word in ("w20 ", "w50 ", "w90 ", "w150 ", "w220 "):
        wait_for_text(page, word)
        assert words(400).startswith(text_of(answer(page)))
        network.cut()
        network.mend()
    assert_exact(page, 400)
    expect(page.locator("li.message")).to_have_count(2)


def test_second_tab_sees_question_and_answer_while_it_is_written(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    ask(page, "first")
    wait_for(page, "completed")
    second = visitor.new_tab()
    second.goto(page.url)
    wait_for(second, "completed")
    question = script({"tokens": 150, "per_second": 40})
    ask(page, question)
    wait_for_text(second, "w10 ")
    assert answer(second).get_attribute("data-status") == "running"
    expect(second.locator("li.message.user").last).to_contain_text(question)
    for each in (page, second):
        assert_exact(each, 150)
        expect(each.locator("li.message")).to_have_count(4)


def test_other_browser_of_the_same_user_sees_it_and_may_stop_it(visit: Visit) -> None:
    page, elsewhere = visit("bob").page, visit("bob").page
    ask(page, script({"text": "Begun. "}, {"hang": True}))
    wait_for_text(page, "Begun.")
    elsewhere.get_by_role("link").filter(has_text="answering").first.click()
    wait_for_text(elsewhere, "Begun.")
    elsewhere.get_by_role("button", name="Stop", exact=True).click()
    wait_for(elsewhere, "cancelled")
    wait_for(page, "cancelled")


def test_when_the_reading_tab_closes_another_one_reads_the_feed(visit: Visit) -> None:
    visitor = visit()
    first = visitor.page
    ask(first, "hello there")
    wait_for(first, "completed")
    second = visitor.new_tab()
    second.goto(first.url)
    wait_for(second, "completed")
    third = visitor.new_tab()
    third.goto(first.url)
    wait_for(third, "completed")
    first.close()
    ask(second, "and another")
    expect(third.locator("li.message")).to_have_count(4)
    wait_for(third, "completed")


def test_conversation_has_an_address_and_history_works(visit: Visit) -> None:
    page = visit().page
    ask(page, "about apples")
    wait_for(page, "completed")
    apples = page.url
    assert "?c=" in apples
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="Ask something")).to_be_visible()
    ask(page, "about pears")
    wait_for(page, "completed")
    page.goto(apples)
    expect(page.locator("li.message.user")).to_contain_text("about apples")
    page.get_by_role("link", name="about pears").click()
    expect(page.locator("li.message.user")).to_contain_text("about pears")
    page.go_back()
    expect(page.locator("li.message.user")).to_contain_text("about apples")
    expect(page.get_by_role("link", name="about apples")).to_have_attribute("aria-current", "page")
    expect(page).to_have_title(re.compile("about apples"))


def test_conversation_is_renamed_and_deleted(visit: Visit) -> None:
    page = visit().page
    ask(page, "to be renamed")
    wait_for(page, "completed")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New title").fill("A better <b>title</b>")
    page.get_by_label("New title").press("Enter")
    expect(page.get_by_role("heading", name="A better <b>title</b>")).to_be_visible()
    link = page.get_by_role("link", name="A better <b>title</b>")
    expect(link).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(link).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(link).to_have_count(0)
    expect(page.get_by_role("heading", name="Ask something")).to_be_visible()


def test_text_that_looks_like_an_attack_stays_text(visit: Visit) -> None:
    page = visit().page
    attack = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script> [a](javascript:alert(1))"
    ask(
        page,
        script(
            {"reasoning": attack},
            {"sources": [{"title": attack, "text": attack, "url": "javascript:alert(1)"}]},
            {"text": attack},
            {"pause": 0.5},
        ),
    )
    wait_for_text(page, attack)
    message = wait_for(page, "completed")
    expect(message.locator(":scope > .rendered")).to_contain_text("<img src=x")
    page.reload()
    wait_for(page, "completed")
    for place in (page.locator("#messages"), page.locator("#conversation-list")):
        assert place.locator("img, script, [onerror], [href^='javascript:']").count() == 0
    assert "hacked" not in page.title().replace(attack, "").split("·")[-1]
    assert page.evaluate("document.querySelectorAll('body img').length") == 1  # the page's own


def test_failure_of_the_engine_is_said_in_words_and_can_be_asked_again(visit: Visit) -> None:
    page = visit().page
    ask(
        page,
        script({"text": "Half an "}, {"fail": {"code": "upstream", "message": "The model is overloaded.", "retryable": True}}),
    )
    message = wait_for(page, "failed")
    expect(message).to_contain_text("The model is overloaded. What had arrived is kept.")
    assert text_of(message).strip() == "Half an"
    page.reload()
    message = wait_for(page, "failed")
    expect(message).to_contain_text("The model is overloaded.")
    message.get_by_role("button", name="Ask again").click()
    expect(page.locator("li.message.assistant")).to_have_count(2)
    wait_for(page, "failed")


def test_question_whose_acceptance_was_not_heard_of_is_not_asked_twice(visit: Visit, expects_console_errors: None) -> None:
    page = visit().page
    lost: list[str] = []

    def lose_first_answer(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch().text())
        return route.abort()

    page.route("**/stream", lose_first_answer)
    ask(page, "only once please")
    expect(answer(page, "completed").locator(":scope > .rendered")).to_have_text("only once please")
    assert "message_id" in lost[0]
    page.reload()
    wait_for(page, "completed")
    expect(page.get_by_role("link", name="only once please")).to_have_count(1)
    expect(page.locator("li.message")).to_have_count(2)


def test_question_that_cannot_be_sent_comes_back_with_a_word(visit: Visit, expects_console_errors: None) -> None:
    page = visit().page
    page.route("**/stream", lambda route: route.abort())
    ask(page, "keep this")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server cannot be reached.")
    expect(page.get_by_label("Your question")).to_have_value("keep this")
    expect(page.locator("li.message")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Your question")).to_have_value("keep this")
    page.get_by_label("Your question").press("Enter")
    expect(alert).to_be_visible()
    page.unroute("**/stream")
    alert.get_by_role("button", name="Try again").click()
    wait_for(page, "completed")
    expect(alert).to_be_hidden()
    expect(page.get_by_label("Your question")).to_have_value("")
    expect(page.locator("li.message")).to_have_count(2)


def test_second_question_waits_while_the_first_is_on_its_way(visit: Visit) -> None:
    page = visit().page
    held: list[Route] = []
    page.route("**/stream", lambda route: held.append(route))
    ask(page, "first of two")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    ask(page, "second of two")
    expect(page.get_by_label("Your question")).to_have_value("second of two")
    assert len(held) == 1
    held[0].continue_()
    wait_for(page, "completed")
    page.get_by_label("Your question").press("Enter")
    expect(page.locator("li.message")).to_have_count(4)
    held[1].continue_()
    expect(page.locator("li.message.assistant .rendered")).to_have_text(["first of two", "second of two"])


def test_what_is_typed_before_the_page_is_ready_is_kept(visit: Visit) -> None:
    page = visit().page
    held: list[Route] = []
    page.route("**/chat/page.js", lambda route: held.append(route))
    page.reload(wait_until="commit")
    page.get_by_label("Your question").fill("early bird")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    held[0].continue_()
    page.get_by_text("Connected", exact=True).wait_for()
    expect(page.get_by_label("Your question")).to_have_value("early bird")
    page.get_by_role("button", name="Send").click()
    wait_for(page, "completed")


def test_busy_server_is_told_with_the_time_to_wait(visit: Visit, expects_console_errors: None) -> None:
    page = visit().page
    page.route(
        "**/stream",
        lambda route: route.fulfill(
            status=429, headers={"Retry-After": "30"}, json={"success": False, "message": "Too many answers at once."}
        ),
    )
    ask(page, "keep this")
    expect(page.get_by_role("alert")).to_contain_text("Too many answers at once. Try again in 30 seconds.")
    expect(page.get_by_label("Your question")).to_have_value("keep this")


def test_who_has_been_signed_out_is_told_and_keeps_the_question(visit: Visit, expects_console_errors: None) -> None:
    visitor = visit()
    page = visitor.page
    visitor.context.clear_cookies()
    ask(page, "still here")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("You are signed out.")
    expect(page.get_by_label("Your question")).to_have_value("still here")
    expect(alert.get_by_role("link", name="Log in")).to_have_attribute("href", re.compile("^/login"))


def test_conversation_of_someone_else_is_said_not_to_exist(visit: Visit, expects_console_errors: None) -> None:
    page = visit("alice").page
    ask(page, "mine alone")
    wait_for(page, "completed")
    other = visit("bob").page
    for address in (page.url, re.sub("c=.*", "c=nonsense", page.url)):
        other.goto(address)
        expect(other.locator("#log-note")).to_contain_text("does not exist any more, or it is not yours")
        expect(other.get_by_text("mine alone")).to_have_count(0)


def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    page = visit().page
    page.reload()
    page.get_by_text("Connected", exact=True).wait_for()
    page.locator("body").evaluate("body => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the question field")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(page.get_by_label("Your question")).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    wait_for(page, "completed")
    page.keyboard.type(script({"text": "Go. "}, {"hang": True}))
    page.keyboard.press("Enter")
    wait_for_text(page, "Go.")
    page.keyboard.press("Tab")
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_focused()
    assert stop.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    wait_for(page, "cancelled")
    expect(page.get_by_label("Your question")).to_be_focused()


def test_state_is_announced_but_not_every_word(visit: Visit) -> None:
    page = visit().page
    ask(page, script({"tokens": 20, "per_second": 20}))
    expect(page.locator("#announcements")).to_have_text("Answering…")
    wait_for(page, "completed")
    expect(page.locator("#announcements")).to_have_text("The answer is complete.")
    log = page.get_by_role("log")
    expect(log).to_have_attribute("aria-live", "off")
    assert log.locator("[aria-live=polite], [aria-live=assertive], [role=status], [role=alert]").count() == 0


WIDE = "\n\n".join(
    [
        "x" * 400,
        "| " + " | ".join(f"column {n}" for n in range(12)) + " |\n" + "|-" * 12 + "|\n",
        "```\n" + "code " * 100 + "\n```",
    ]
)


@pytest.mark.parametrize("width", [320, 390, 760, 761])
def test_nothing_is_wider_than_a_narrow_screen(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 640}).page
    ask(page, script({"sources": [{"title": "y" * 300, "text": "z" * 500}]}, {"text": WIDE}))
    wait_for(page, "completed")
    expect(answer(page).locator("table")).to_be_visible()
    answer(page).get_by_text("Sources").click()
    for selector in ("html", "#log", "#log-inner", ".below"):
        assert page.locator(selector).evaluate("element => element.scrollWidth - element.clientWidth") <= 0, selector


def test_list_is_a_drawer_on_a_phone(visit: Visit) -> None:
    page = visit(viewport={"width": 320, "height": 640}, has_touch=True).page
    ask(page, "small screen")
    wait_for(page, "completed")
    toggle = page.get_by_role("button", name="Conversations")
    expect(page.locator("#drawer")).not_to_be_in_viewport()
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(toggle).to_be_focused()
    expect(page.locator("#drawer")).not_to_be_in_viewport()
    toggle.click()
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="Ask something")).to_be_visible()
    expect(page.locator("#drawer")).not_to_be_in_viewport()


def test_log_follows_the_answer_only_while_the_reader_is_at_its_end(visit: Visit) -> None:
    page = visit(viewport={"width": 900, "height": 500}).page
    ask(page, script({"text": "line\n\n" * 40}, {"pause": 3}, {"text": "more\n\n" * 40}, {"pause": 3}))
    wait_for_text(page, "line")
    log = page.get_by_role("log")
    from_end = "element => element.scrollHeight - element.scrollTop - element.clientHeight"
    page.wait_for_function(f"() => (log => log.scrollHeight > 1000 && ({from_end})(log) < 2)(document.getElementById('log'))")
    log.hover()
    page.mouse.wheel(0, -400)
    newest = page.get_by_role("button", name="Go to the newest")
    expect(newest).to_be_visible()
    top = log.evaluate("element => element.scrollTop")
    wait_for_text(page, "more")
    assert log.evaluate("element => element.scrollTop") == top
    newest.click()
    assert log.evaluate(from_end) < 2
    expect(newest).to_be_hidden()


def test_older_messages_come_on_demand_and_the_reader_stays_in_place(visit: Visit) -> None:
    page = visit().page
    ask(page, "number 0")
    wait_for(page, "completed")
    for number in range(1, 30):
        ask(page, f"number {number}")
        expect(page.locator("li.message.user").last).to_contain_text(f"number {number}")
        wait_for(page, "completed")
    page.reload()
    expect(page.locator("li.message")).to_have_count(50)
    expect(page.locator("li.message.user").last).to_contain_text("number 29")
    page.get_by_role("log").evaluate("element => { element.scrollTop = 0; }")
    top = page.locator("li.message.user").filter(has_text="number 5")
    place = top.evaluate("element => element.getBoundingClientRect().top")
    page.get_by_role("button", name="Show earlier messages").click()
    expect(page.locator("li.message")).to_have_count(60)
    assert page.locator("li.message.user").all_inner_texts()[0].endswith("number 0")
    assert abs(top.evaluate("element => element.getBoundingClientRect().top") - place) < 60  # the button is gone
    expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


def test_nothing_moves_for_those_who_asked_for_that(visit: Visit) -> None:
    page = visit(reduced_motion="reduce").page
    ask(page, script({"text": "Go. "}, {"pause": 1}))
    wait_for_text(page, "Go.")
    assert answer(page).evaluate("element => getComputedStyle(element, '::after').animationName") == "none"
    wait_for(page, "completed")


def _luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(part) / 255) for part in re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _pairs() -> Iterator[tuple[str, str]]:
    for back in ("paper", "surface"):
        for fore in ("ink", "muted", "accent", "danger", "waiting"):
            yield fore, back
    yield from [
        ("accent-ink", "accent"),
        ("ink", "accent-soft"),
        ("ink", "danger-soft"),
        ("accent", "danger-soft"),
        ("ink", "code"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(visit: Visit, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    page = visit(color_scheme=scheme).page
    colour = """name => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color;
    }"""
    for fore, back in _pairs():
        lighter, darker = sorted((_luminance(page.evaluate(colour, name)) for name in (fore, back)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{fore} on {back} in {scheme}"
