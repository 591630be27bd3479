"""What the chat page does over its socket: who is typing, and stopping. Without the socket the page still works."""

import json
import re
import urllib.request

import psutil
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import Visit, script
from tests.browser.test_chat_page import answer, ask, text_of, wait_for, wait_for_text

pytestmark = pytest.mark.browser

IS_CHAT_SOCKET = re.compile(r"/ws/chat/")


def shared_conversation(server: str, owner: Page) -> str:
    """The id of a conversation that alice has shared with bob: asked on a socket of hers."""
    token = login(server, "alice")
    session = f"shared-{id(owner)}"
    post(server, f"/api/v1/chat/sessions/{session}/participants", {"user": "user_bob"}, token)
    found: str = owner.evaluate(
        """([session, token]) => new Promise((resolve) => {
          const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/chat/${session}?token=${token}`);
          socket.onopen = () => socket.send(JSON.stringify({ type: "chat", content: "Good morning" }));
          let id;
          socket.onmessage = ({ data }) => {
            const frame = JSON.parse(data);
            if (frame.type === "response_start") id = frame.chat_id;
            if (frame.type === "response_end") { resolve(id); socket.close(); }
          };
        })""",
        [session, token],
    )
    return found


def login(server: str, name: str) -> str:
    return str(post(server, "/api/v1/auth/token", {"username": name, "password": name})["access"])


def post(server: str, path: str, body: dict, token: str = "") -> dict:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(
        urllib.request.Request(f"{server}{path}", json.dumps(body).encode(), headers), timeout=10
    ) as answer:
        return json.load(answer)


def test_people_in_a_conversation_see_each_other_type(visit: Visit, server: str) -> None:
    alice, bob = visit("alice").page, visit("bob").page
    conversation = shared_conversation(server, alice)
    for page in (alice, bob):
        with page.expect_websocket(lambda socket: "/ws/chat/page" not in socket.url):
            page.goto(f"{server}/?c={conversation}")
        expect(answer(page).locator(":scope > .rendered")).to_have_count(1)
    note = bob.locator("#typing-note")
    # A key now and then: the first may be pressed before the page's socket is open.
    field = alice.get_by_label("Your question")
    field.press_sequentially("Is anybody there?", delay=100)
    expect(note).to_have_text("alice is typing…")
    expect(alice.locator("#typing-note")).to_have_text("")
    field.press("Enter")
    expect(note).to_have_text("")
    expect(bob.locator("li.message.user").last).to_contain_text("Is anybody there?")


def test_the_page_goes_on_after_its_web_process_died(visit: Visit, server: str, expects_console_errors: None) -> None:
    alice, bob = visit("alice").page, visit("bob").page
    conversation = shared_conversation(server, alice)
    for page in (alice, bob):
        with page.expect_websocket(lambda socket: "/ws/chat/" in socket.url and "/ws/chat/page" not in socket.url):
            page.goto(f"{server}/?c={conversation}")
        expect(answer(page).locator(":scope > .rendered")).to_have_count(1)
    ask(alice, script({"tokens": 60, "per_second": 10}))
    wait_for_text(alice, "w5 ")
    with (
        alice.expect_websocket(lambda socket: "/ws/chat/" in socket.url),
        bob.expect_websocket(lambda socket: "/ws/chat/" in socket.url),
    ):
        kill_web_process(server)
    wait_for(alice, "completed")
    assert text_of(answer(alice)).split() == [f"w{number}" for number in range(60)]
    # Its socket is open again, and so is that of the other.
    field, note = alice.get_by_label("Your question"), bob.locator("#typing-note")
    for _ in range(30):
        field.press("x")
        if note.text_content() == "alice is typing…":
            return
        alice.wait_for_timeout(1000)
    raise AssertionError("nobody is seen typing")


def kill_web_process(server: str) -> None:
    """SIGKILL for the one that this server started, not for those of other tests' servers; the server starts another."""
    port = server.rpartition(":")[2]
    serves = [each for each in psutil.Process().children(recursive=True) if {"manage.py", "serve"} <= set(words_of(each))]
    [serve] = [each for each in serves if each.environ().get("PORT") == port]
    [web] = [each for each in serve.children(recursive=True) if "uvicorn" in words_of(each)]
    web.kill()


def words_of(process: psutil.Process) -> list[str]:
    """The command of a process; none of one that has just ended, as those of other tests may."""
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return words


def test_stop_goes_over_the_socket(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.url.endswith("/stop") else None)
    page.goto(visitor.address)
    ask(page, script({"text": "so far"}, {"hang": True}))
    wait_for_text(page, "so far")
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "cancelled")
    assert text_of(answer(page)).strip() == "so far"
    assert posted == []


def test_without_the_socket_asking_and_stopping_work(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page

    def refuse(route: WebSocketRoute) -> None:
        route.close(code=1013, reason="A part of the server is away")

    page.route_web_socket(IS_CHAT_SOCKET, refuse)
    page.goto(visitor.address)
    ask(page, script({"text": "so far"}, {"hang": True}))
    wait_for_text(page, "so far")
    page.get_by_role("button", name="Stop").click()
    wait_for(page, "cancelled")


def test_a_stop_that_the_socket_lost_is_asked_for_again(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page

    def swallow(route: WebSocketRoute) -> None:
        route.on_message(lambda _: None)

    page.route_web_socket(IS_CHAT_SOCKET, swallow)
    page.goto(visitor.address)
    ask(page, script({"text": "so far"}, {"hang": True}))
    wait_for_text(page, "so far")
    with page.expect_request(re.compile("/stop$")):
        page.get_by_role("button", name="Stop").click()
    wait_for(page, "cancelled")


def test_answers_do_not_come_twice(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    received: list[str] = []
    with page.expect_websocket(lambda socket: "/ws/chat/" in socket.url) as found:
        page.goto(visitor.address)
    found.value.on("framereceived", lambda data: received.append(str(data)))
    ask(page, script({"tokens": 20, "per_second": 40}))
    wait_for(page, "completed")
    assert not [data for data in received if "text-delta" in data]
