"""The explorer in a real browser, and another program that publishes in NATS and knows nothing of our server."""

import json
from collections.abc import Iterator

import nats
import pytest
from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import Visitor, new_session
from tests.live.processes import Stack, on_the_side
from tests.patience import patiently

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SUBJECT = "events.org_demo.crm.record.updated"
SHOWN_MS = patiently(30) * 1000


@pytest.fixture
def stack() -> Iterator[Stack]:
    # The key of this process, which signs the session of `new_session`.
    made = Stack(webs=1, broker="nats", settings={"SECRET_KEY": settings.SECRET_KEY})
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1200, "height": 800})
    yield opened
    opened.close()


def publish(stack: Stack, *numbers: int) -> None:
    """As any program does with nats-py; JetStream says that it has it."""

    async def send() -> None:
        client = await nats.connect(stack.nats.url, allow_reconnect=False)
        for number in numbers:
            await client.jetstream().publish(f"{SUBJECT}.r{number}", json.dumps({"number": number}).encode())
        await client.close()

    on_the_side(send())


def test_what_is_published_in_nats_is_shown_and_a_restart_in_the_middle_loses_nothing(
    stack: Stack, context: BrowserContext
) -> None:
    publish(stack, 1)
    visitor = Visitor(context, stack.addresses[0], new_session(stack.postgres.url, "alice"))
    page = visitor.page
    page.goto(f"{visitor.address}/explorer")
    page.get_by_label("Pattern; several").fill(f"{SUBJECT}.*")
    page.get_by_role("button", name="Subscribe").click()
    rows = page.locator("#topic-events li")
    # The newest comes first; what was before is shown, too.
    expect(rows.first.locator(".event-type")).to_have_text(f"{SUBJECT}.r1", timeout=SHOWN_MS)
    publish(stack, 2, 3)
    expect(rows).to_have_count(3, timeout=SHOWN_MS)
    for number in (4, 6):
        stack.nats.child.kill()
        stack.nats.start()
        publish(stack, number, number + 1)
    expect(rows).to_have_count(7, timeout=SHOWN_MS)
    assert rows.locator(".event-type").all_inner_texts() == [f"{SUBJECT}.r{number}" for number in range(7, 0, -1)]
    expect(rows.first).to_contain_text('"number": 7')
    expect(page.locator("#topic-error")).not_to_be_visible()
    # The page was not loaded anew, and nothing of it complained.
    assert visitor.complaints == []
