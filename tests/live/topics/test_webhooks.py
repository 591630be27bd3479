"""Webhooks while workers are killed and the receiver fails at first: everything arrives, each event under one id."""

from collections.abc import Iterator

import pytest

from tests.events.webhooks.receiver import Receiver, is_signed
from tests.live.conftest import Client, log_in
from tests.live.processes import Stack, eventually
from tests.patience import patiently

EVENTS = 60
SECONDS = patiently(60)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A server that may call this machine, whose workers are missed soon."""
    made = Stack(
        webs=1,
        workers=1,
        settings={
            "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
            "WEBHOOK_LEASE_SECONDS": "3",
            "WEBHOOK_SEND_SECONDS": "2",
            "WEBHOOK_RETRY_SECONDS": "0.2",
            "WEBHOOK_RETRY_MAX_SECONDS": "1",
            "WEBHOOK_ATTEMPTS_MAX": "100",
        },
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


async def test_everything_arrives_under_one_id_whatever_dies(stack: Stack, receiver: Receiver) -> None:
    staff = Client(stack, log_in(stack, "demo"))
    body = {"organization": "org_demo", "url": receiver.url, "patterns": ["events.org_demo.shop.*.*.*"]}
    answer = await staff.request("POST", "/api/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    made = answer.json()

    # Killed between the events and their deliveries: nobody works when they happen.
    stack.living_workers[0].process.kill()
    stack.living_workers[0].wait(10)
    items = [{"topic": f"events.org_demo.shop.order.placed.o{number}", "payload": {"n": number}} for number in range(EVENTS)]
    answer = await staff.request("POST", "/api/v1/topics/publish", json=items)
    assert answer.status_code == 202, answer.text
    own = {number: result["id"] for number, result in enumerate(answer.json()["results"])}
    receiver.answers += [(503, {}, b"not yet")] * 10
    first = stack.start_worker()
    # Killed while it posts: what it had begun is taken over when its lease is over.
    await eventually(lambda: len(receiver.requests) > EVENTS // 3, within=SECONDS, what="the first posts")
    first.process.kill()
    stack.start_worker()

    async def all_delivered() -> bool:
        deliveries = stack.query("SELECT count(*) FROM events_webhookdelivery WHERE status = 'delivered'")
        return deliveries == [(EVENTS,)]

    await eventually(all_delivered, within=SECONDS, what="all deliveries")
    assert all(is_signed(each, made["secret"]) for each in receiver.requests)
    ids = zip(receiver.told, receiver.ids, strict=True)
    assert {told["event"]["payload"]["n"]: webhook_id for told, webhook_id in ids} == own
    # One id is one event, however often it came.
    assert len({(headers["webhook-id"], content) for headers, content, _ in receiver.requests}) == EVENTS
    listed = await staff.request("GET", f"/api/v1/webhooks/{made['id']}/deliveries?status=delivered")
    assert len(listed.json()["results"]) == 50


async def test_a_test_event_is_posted(stack: Stack, receiver: Receiver) -> None:
    """By a worker that idled until then."""
    staff = Client(stack, log_in(stack, "demo"))
    body = {"organization": "org_demo", "url": receiver.url, "patterns": ["events.org_demo.soon.*.*.*"], "form": "cloudevents"}
    made = (await staff.request("POST", "/api/v1/webhooks", json=body)).json()
    assert (await staff.request("POST", f"/api/v1/webhooks/{made['id']}/test")).status_code == 202
    await eventually(lambda: receiver.requests, within=SECONDS, what="the test event")
    assert receiver.told[0]["type"] == "webhook.test"
