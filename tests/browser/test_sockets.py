"""Sockets as a browser sees them: why one is closed can be read there, which of a refused handshake it cannot."""

import base64
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

OPENED = """([path, protocols]) => new Promise((resolve) => {
  const frames = [];
  const socket = new WebSocket(location.origin.replace("http", "ws") + path, protocols);
  socket.onmessage = (event) => { frames.push(JSON.parse(event.data)); if (frames[0].type === "connected") socket.close(); };
  socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean, frames, protocol: socket.protocol });
})"""


@pytest.fixture
def stranger(browser: Browser, server: str) -> Iterator[Page]:
    """A page of the server in a browser that nobody has logged in with: a cookie would count before a token."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server}/login")
    yield page
    context.close()


@pytest.fixture(scope="module")
def token(server: str) -> str:
    """A good token of alice's."""
    body = json.dumps({"username": "alice", "password": "alice"}).encode()
    request = urllib.request.Request(f"{server}/api/v1/auth/token", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["access"])


def opened(page: Page, path: str, protocols: list[str] | None = None) -> dict[str, Any]:
    """What became of a socket: how it was closed, and its frames before that."""
    found: dict[str, Any] = page.evaluate(OPENED, [path, protocols or []])
    return found


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def altered(token: str, kind: str) -> str:
    """A token that is not good, made of a good one."""
    claims = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    match kind:
        case "expired":
            return jwt.encode(claims | {"exp": int(time.time()) - 60}, os.environ["SECRET_KEY"], header["alg"])
        case "alg none":
            return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."
        case "alg none, signed":
            return f"{part({'alg': 'none', 'typ': 'JWT'})}.{token.split('.', 1)[1]}"
        case "wrong key":
            return jwt.encode(claims, "another-key-another-key-another-key-01", header["alg"])
        case "altered":
            return f"{part(header)}.{part(claims | {'sub': 'user_demo'})}.{token.rpartition('.')[2]}"
        case "foreign sub":
            return jwt.encode(claims | {"sub": "user_of_nobody"}, os.environ["SECRET_KEY"], header["alg"])
    return kind


@pytest.mark.parametrize(
    "kind", ["rubbish", "", "expired", "alg none", "alg none, signed", "wrong key", "altered", "foreign sub"]
)
def test_a_bad_token_is_closed_with_the_words_of_the_document(stranger: Page, token: str, kind: str) -> None:
    seen = opened(stranger, f"/ws/chat/session-abc?token={altered(token, kind)}")
    assert (seen["code"], seen["reason"], seen["wasClean"]) == (1008, "Invalid token", True)
    assert seen["frames"] == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_good_token_is_connected(stranger: Page, token: str, slash: str) -> None:
    seen = opened(stranger, f"/ws/chat/session-abc{slash}?token={token}")
    assert seen["frames"][0].items() >= {"type": "connected", "session_id": "session-abc", "user_id": "user_alice"}.items()
    assert seen["code"] == 1005


def test_a_vocabulary_can_be_chosen_as_a_subprotocol(stranger: Page, token: str) -> None:
    seen = opened(stranger, f"/ws/chat/session-abc?token={token}", ["streaming"])
    assert seen["protocol"] == "streaming"
    assert seen["frames"][0]["type"] == "connected"


def test_a_dialect_that_is_none_and_an_address_that_is_none_say_so(stranger: Page, token: str) -> None:
    seen = opened(stranger, f"/ws/chat/session-abc?dialect=klingon&token={token}")
    assert (seen["code"], "Known: nadoo, streaming" in seen["reason"]) == (4400, True)
    assert opened(stranger, "/ws/nowhere")["code"] == 4404
