"""Rules with two workers, one of which is killed in the middle, while the mail server is down: everybody is told, once."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
from websockets.asyncio.client import connect

from tests.live.conftest import Client, log_in
from tests.live.processes import Stack, free_port
from tests.notifications.mailbox import Mailbox, smtp
from tests.patience import patiently

pytestmark = pytest.mark.timeout(240)

EVENTS = 60
SECONDS = patiently(60)
TITLES = Counter({f"Order {number}": 1 for number in range(EVENTS)})


@pytest.fixture(scope="module")
def mail_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def own_stack(mail_port: int) -> Iterator[Stack]:
    """A server whose mail server is not there yet, and whose workers are missed soon."""
    made = Stack(
        webs=1,
        workers=2,
        settings={
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "NOTIFICATIONS_LEASE_SECONDS": "3",
            "NOTIFICATIONS_SEND_SECONDS": "2",
            "NOTIFICATIONS_RETRY_SECONDS": "0.5",
        },
    )
    try:
        made.start()
        made.query("UPDATE accounts_user SET email = username || '@example.org'")
        yield made
    finally:
        made.stop()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await true():  # noqa: ASYNC110 - nothing there can be waited for but its effects
            await asyncio.sleep(0.1)


async def test_everybody_is_told_once_whatever_dies(own_stack: Stack, mail_port: int) -> None:
    staff = Client(own_stack, log_in(own_stack, "demo"))
    alice = Client(own_stack, log_in(own_stack, "alice"))
    rule = {
        "organization": "org_demo",
        "name": "Orders",
        "pattern": "events.org_demo.shop.order.placed.*",
        "title": "Order {{ payload.number }}",
        "recipients": ["user:user_alice", "user:user_bob"],
        "channels": ["websocket", "email"],
        "always": True,
    }
    assert (await staff.request("POST", "/api/v1/notifications/rules", json=rule)).status_code == 201
    socket_url = f"{own_stack.addresses[0].replace('http', 'ws', 1)}/ws/notifications/user_alice?token={alice.token}"
    heard: Counter[str] = Counter()
    async with connect(socket_url) as socket:
        for number in range(EVENTS):
            body = {"topic": f"events.org_demo.shop.order.placed.o{number}", "payload": {"number": number}}
            assert (await staff.request("POST", "/api/v1/topics/publish", json=body)).status_code == 202
            if number == EVENTS // 3:
                own_stack.living_workers[0].process.kill()
        async with asyncio.timeout(SECONDS):
            while heard.total() < EVENTS:
                frame = json.loads(await socket.recv())
                if frame["type"] == "notification":
                    heard[frame["notification"]["title"]] += 1
    assert heard == TITLES

    async def mails_failed() -> bool:
        return bool(own_stack.query("SELECT 1 FROM notifications_delivery WHERE channel = 'email' AND attempts > 0 LIMIT 1"))

    async def all_sent() -> bool:
        return not own_stack.query("SELECT 1 FROM notifications_delivery WHERE status <> 'sent' LIMIT 1")

    await until(mails_failed)
    with smtp(mail_port, Mailbox()) as box:
        await until(all_sent)
    for name in ("alice", "bob"):
        told = Counter(mail["Subject"] for mail in box.mails if mail["To"] == f"{name}@example.org")
        assert told == TITLES
        rows = own_stack.query(
            "SELECT title FROM notifications_notification n JOIN accounts_user u ON u.id = n.user_id WHERE u.username = %s", name
        )
        assert Counter(title for (title,) in rows) == TITLES
