"""The patterns that seed 001 prints ("Topic subscriptions"), each on a connection of its own, against a running server."""

import asyncio
import random
from typing import Any

import pytest

from tests.live.conftest import Client
from tests.live.processes import Stack, eventually
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber
from tests.patience import patiently

SECONDS = patiently(30)
ALL_MESSAGES = "events.org_123.conversations.conversation.message_posted.*"
ONE_CONVERSATION = "events.org_123.conversations.conversation.message_posted.conv_456"
TASKS = "events.org_123.tasks.task.completed.*"
FLOWS = "events.org_123.flows.flow.run.*"


@pytest.fixture
def organization(stack: Stack) -> None:
    """The organisation of the document, to which alice belongs."""
    stack.query(
        "INSERT INTO accounts_organization (public_id, name) VALUES ('org_123', 'Seed') ON CONFLICT (public_id) DO NOTHING"
    )
    stack.query(
        "INSERT INTO accounts_membership (organization_id, user_id, role) "
        "SELECT o.id, u.id, 'member' FROM accounts_organization o, accounts_user u "
        "WHERE o.public_id = 'org_123' AND u.username = 'alice' ON CONFLICT DO NOTHING"
    )


async def room(client: Client, title: str) -> str:
    """The id of a conversation in the organisation; ours are no `conv_456`, but UUIDs."""
    body = {"type": "standard", "title": title, "organization": "org_123", "participants": []}
    answer = await client.request("POST", "/api/v1/rooms", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def say(client: Client, conversation: str, text: str) -> None:
    answer = await client.request("POST", f"/api/v1/rooms/{conversation}/messages", json={"text": text})
    assert answer.status_code in (200, 201, 202), answer.text


def told(subscriber: Subscriber) -> list[Any]:
    """The text of a message, the resource of anything else."""
    events = [frame["event"] for frame in subscriber.of("event")]
    return [each["payload"]["text"] if each["source"] == "conversations" else each["resourceId"] for each in events]


@pytest.mark.parametrize("kind", [SocketSubscriber, StreamSubscriber])
async def test_each_pattern_of_the_document_brings_what_it_says(
    stack: Stack, tokens: dict[str, str], alice: Client, organization: None, kind: Any
) -> None:
    first, second = await room(alice, "First"), await room(alice, "Second")
    patterns = [ALL_MESSAGES, ONE_CONVERSATION.replace("conv_456", first), TASKS, FLOWS]
    subscribers: list[Subscriber] = [kind(stack, alice.token, [each], chance=random.Random(n)) for n, each in enumerate(patterns)]
    try:
        async with asyncio.timeout(SECONDS):
            for each in subscribers:
                await each.ready.wait()
        for number in range(3):
            await say(alice, first, f"first {number}")
            await say(alice, second, f"second {number}")
        staff = Client(stack, tokens["demo"])
        others = ["events.org_123.flows.flow.run.flow_1", "events.org_123.tasks.task.completed.task_1"]
        body = [{"topic": topic, "payload": {}} for topic in [*others, "events.org_123.tasks.task.failed.task_2"]]
        answer = await staff.request("POST", "/api/v1/topics/publish", json=body)
        assert answer.status_code == 202, answer.text
        wanted = [
            [f"{which} {number}" for number in range(3) for which in ("first", "second")],
            ["first 0", "first 1", "first 2"],
            ["task_1"],
            ["flow_1"],
        ]
        for subscriber, expected in zip(subscribers, wanted, strict=True):
            await eventually(lambda: len(told(subscriber)) >= len(expected), within=SECONDS, what=str(expected))  # noqa: B023
            assert told(subscriber) == expected
    finally:
        for each in subscribers:
            await each.stop()
