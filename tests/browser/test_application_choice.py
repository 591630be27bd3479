"""Which application answers, on the chat page, in a real browser in front of the running product."""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Visit, script
from tests.browser.test_chat_page import answer, ask, wait_for

pytestmark = pytest.mark.browser

SUM = script({"tool_call": {"name": "calculator", "arguments": {"expression": "6 * 7"}}}, {"results": True}, {"result": 1})


@pytest.fixture
def second(own_database: str) -> Iterator[str]:
    """The name of a second application of the organisation, of this test alone, without tools."""
    with psycopg.connect(own_database, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'chat_application' "
            "AND column_name NOT IN ('id', 'public_id', 'name', 'tools')"
        ).fetchall()
        columns = ", ".join(f'"{column}"' for (column,) in rows)
        connection.execute(
            f"INSERT INTO chat_application (public_id, name, tools, {columns}) "
            f"SELECT 'app_second', 'Plain application', '[]', {columns} FROM chat_application WHERE public_id = 'app_demo'"
        )
        connection.execute("UPDATE chat_application SET tools = '[\"calculator\"]' WHERE public_id = 'app_demo'")
        yield "Plain application"
        connection.execute("UPDATE chat_conversation SET application_id = NULL")
        connection.execute("UPDATE chat_message SET application_id = NULL")
        connection.execute("DELETE FROM chat_application WHERE public_id = 'app_second'")


def choice(page: Page) -> Locator:
    return page.get_by_label("Application", exact=True)


def shown(page: Page) -> Locator:
    return page.locator("#conversation-application")


def begin_again(page: Page) -> None:
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="Ask something")).to_be_visible()


def test_a_new_conversation_is_one_of_the_first_application_and_has_its_tools(visit: Visit, second: str) -> None:
    page = visit().page
    expect(choice(page)).to_have_value("app_demo")
    ask(page, SUM)
    wait_for(page, "completed")
    expect(answer(page)).to_contain_text("42")
    expect(choice(page)).to_be_hidden()
    expect(shown(page)).to_have_text("Demo application")
    page.reload()
    expect(shown(page)).to_have_text("Demo application")


def test_the_choice_is_remembered_and_a_conversation_keeps_its_own(visit: Visit, second: str) -> None:
    page = visit().page
    choice(page).select_option(second)
    ask(page, SUM)
    wait_for(page, "completed")
    expect(answer(page)).to_contain_text("There is no tool called 'calculator'.")
    expect(shown(page)).to_have_text(second)
    begin_again(page)
    expect(shown(page)).to_be_hidden()
    page.reload()
    expect(choice(page)).to_have_value("app_second")
    choice(page).select_option("None")
    ask(page, "without any")
    wait_for(page, "completed")
    expect(shown(page)).to_be_hidden()
    page.get_by_role("link", name="tool_call").first.click()
    expect(shown(page)).to_have_text(second)


def test_what_was_refused_and_is_sent_to_another_application_is_another_question(
    visit: Visit, second: str, expects_console_errors: None
) -> None:
    page = visit().page
    bodies: list[tuple[str, str]] = []

    def refuse(route: Route) -> None:
        bodies.append((route.request.post_data_json["application_id"], route.request.headers["idempotency-key"]))
        route.abort()

    page.route("**/stream", refuse)
    ask(page, "whose is this")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    choice(page).select_option(second)
    page.unroute("**/stream")
    page.route("**/stream", lambda route: (bodies.append(("", route.request.headers["idempotency-key"])), route.continue_()))
    alert.get_by_role("button", name="Try again").click()
    wait_for(page, "completed")
    expect(shown(page)).to_have_text(second)
    assert {name for name, _ in bodies[:-1]} == {"app_demo"}
    assert bodies[-1][1] not in {key for _, key in bodies[:-1]}


def test_who_has_no_application_is_offered_none(visit: Visit, guest: str) -> None:
    page = visit(guest).page
    expect(choice(page)).to_be_hidden()
    ask(page, "just so")
    wait_for(page, "completed")
    expect(shown(page)).to_be_hidden()
