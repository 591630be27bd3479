"""Approvals on the chat page and behind a link, in a real browser in front of the running product."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import TOOL_PORT, Visit, script
from tests.browser.test_chat_page import answer, ask, wait_for

pytestmark = pytest.mark.browser

URL = f"http://127.0.0.1:{TOOL_PORT}/orders"


@pytest.fixture
def done() -> Iterator[list[str]]:
    """What the tool was really used for: the bodies that were sent."""
    bodies: list[str] = []

    class Orders(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b"ordered")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", TOOL_PORT), Orders)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield bodies
    server.shutdown()
    server.server_close()


def order(body: str, call_id: str = "call_1") -> dict[str, Any]:
    return {"tool_call": {"name": "http_request", "call_id": call_id, "arguments": {"url": URL, "method": "POST", "body": body}}}


def give_tools(page: Page, database: str, *also: str) -> str:
    """Makes the page's conversation one of an application with the tool, of `also` too; its id."""
    ask(page, "hello")
    wait_for(page, "completed")
    message = answer(page).get_attribute("data-message-id")
    with psycopg.connect(database, autocommit=True) as connection:
        (conversation,) = connection.execute("SELECT conversation_id FROM chat_message WHERE id = %s", (message,)).fetchone()  # type: ignore[misc]
        connection.execute("UPDATE chat_application SET tools = '[\"http_request\"]' WHERE public_id = 'app_demo'")
        connection.execute(
            "UPDATE chat_conversation SET application_id = (SELECT id FROM chat_application WHERE public_id = 'app_demo') "
            "WHERE id = %s",
            (conversation,),
        )
        columns = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'chat_participant'")
        same = ", ".join(f'"{column}"' for (column,) in columns.fetchall() if column not in ("id", "user_id"))
        for name in also:
            connection.execute(
                f"INSERT INTO chat_participant (user_id, {same}) "
                f"SELECT (SELECT id FROM accounts_user WHERE username = %s), {same} "
                "FROM chat_participant WHERE conversation_id = %s LIMIT 1",
                (name, conversation),
            )
    return str(conversation)


def cards(page: Page) -> Locator:
    return answer(page).locator(".approval")


def wait_for_card(page: Page) -> Locator:
    cards(page).first.wait_for()
    return cards(page).first


def test_a_call_waits_survives_a_reload_and_is_made_when_approved(visit: Visit, own_database: str, done: list[str]) -> None:
    page = visit().page
    give_tools(page, own_database)
    ask(page, script({"text": "I will order tea."}, order("tea"), {"results": True}, {"text": "It is ordered."}))
    card = wait_for_card(page)
    assert answer(page).get_attribute("data-status") == "awaiting_approval"
    expect(card.get_by_role("heading")).to_have_text("May “http_request” be called?")
    assert json.loads(card.locator(".approval-payload").inner_text())["body"] == "tea"
    page.reload()
    card = wait_for_card(page)
    assert done == []
    card.get_by_role("button", name="Approve").click()
    expect(card).to_contain_text("Approved by alice.")
    wait_for(page, "completed")
    expect(answer(page)).to_contain_text("It is ordered.")
    assert done == ["tea"]


def test_what_one_browser_decides_the_other_shows_at_once(visit: Visit, own_database: str, done: list[str]) -> None:
    alice = visit().page
    conversation = give_tools(alice, own_database, "bob")
    ask(alice, script(order("tea", "a"), order("coffee", "b"), {"results": True}, {"result": 1}))
    wait_for_card(alice)
    bob = visit("bob").page
    bob.goto(f"{bob.url.split('?')[0]}?c={conversation}")
    wait_for_card(bob)
    cards(bob).nth(0).get_by_label("A comment").fill("We have tea.")
    cards(bob).nth(0).get_by_role("button", name="Deny").click()
    expect(cards(alice).nth(0)).to_contain_text("Denied by bob. “We have tea.”")
    expect(cards(alice).nth(0).get_by_role("button")).to_have_count(0)
    assert answer(alice).get_attribute("data-status") == "awaiting_approval"
    cards(alice).nth(1).get_by_role("button", name="Approve").click()
    expect(cards(bob).nth(1)).to_contain_text("Approved by alice.")
    for page in (alice, bob):
        wait_for(page, "completed")
        expect(answer(page)).to_contain_text("We have tea.")
    assert done == ["coffee"]


def test_a_call_is_changed_before_it_is_approved_and_a_mistake_is_told(
    visit: Visit, own_database: str, done: list[str], expects_console_errors: None
) -> None:
    page = visit().page
    give_tools(page, own_database)
    ask(page, script(order("ten teas"), {"results": True}, {"text": "Done."}))
    card = wait_for_card(page)
    card.get_by_role("button", name="Change it").click()
    editor = card.get_by_label("What it is called with instead")
    editor.fill("{")
    card.get_by_role("button", name="Approve with changes").click()
    expect(card).to_contain_text("This is not JSON")
    editor.fill('{"url": 5}')
    card.get_by_role("button", name="Approve with changes").click()
    expect(card).to_contain_text("is not of type 'string'")
    editor.fill(json.dumps({"url": URL, "method": "POST", "body": "one tea"}))
    card.get_by_role("button", name="Approve with changes").click()
    expect(card).to_contain_text("Approved with changes by alice.")
    wait_for(page, "completed")
    assert done == ["one tea"]


def test_stopping_an_answer_that_waits_takes_its_questions_away(visit: Visit, own_database: str, done: list[str]) -> None:
    page = visit().page
    give_tools(page, own_database)
    ask(page, script(order("tea"), {"results": True}))
    card = wait_for_card(page)
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "cancelled")
    expect(card).to_contain_text("No longer asked.")
    assert done == []
