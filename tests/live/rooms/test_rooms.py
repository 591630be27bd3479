"""Rooms while processes are killed: nothing that was said is lost or told twice, and each agent answers a message once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.live.conftest import Client, words
from tests.live.processes import Stack, eventually
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber

SECONDS = 40
NEVER = 10**6
"""Frames after which a subscriber would cut its own line."""
AGENTS = ("app_first", "app_second")


@pytest.fixture
async def room(stack: Stack, alice: Client) -> str:
    """Alice and Bob, and two agents that respond by themselves."""
    for each in AGENTS:
        stack.query(
            "INSERT INTO chat_application (public_id, organization_id, name, engine, model, system_prompt, tools, sources) "
            "SELECT %s, id, %s, 'scripted', '', '', '[]', '[]' FROM accounts_organization WHERE public_id = 'org_demo' "
            "ON CONFLICT (public_id) DO NOTHING",
            each,
            each,
        )
    agents = [{"account_id": each, "kind": "agent", "auto_respond": True} for each in AGENTS]
    body = {"type": "standard", "title": "Harbour", "participants": [{"account_id": "user_bob"}, *agents]}
    answer = await alice.request("POST", "/api/v1/rooms", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def follow(stack: Stack) -> AsyncIterator[Any]:
    """Follows all that topics say of a room, and comes back with the cursor when the line is cut."""
    made: list[Subscriber] = []

    async def start(kind: type[Subscriber], client: Client, room: str, *, at: int = 0) -> Subscriber:
        chance = random.Random(0)
        chance.randint = lambda *_: NEVER  # type: ignore[method-assign]
        topics = [f"events.org_demo.conversations.conversation.*.{room}"]
        made.append(kind(stack, client.token, topics, chance=chance, at=at))
        await eventually(made[-1].ready.is_set, within=SECONDS, what="the subscription")
        return made[-1]

    yield start
    for each in made:
        await each.stop()


async def say(client: Client, room: str, text: str, *, key: str, at: int = 0) -> dict[str, Any]:
    """Says it until a process has taken it: at one address, and then at the other."""
    for attempt in range(SECONDS * 10):
        with suppress(httpx.HTTPError):
            headers = {"Idempotency-Key": key}
            path, place = f"/api/v1/rooms/{room}/messages", (at + attempt) % len(client.stack.addresses)
            answer = await client.request("POST", path, at=place, json={"text": text}, headers=headers)
            if answer.status_code in (200, 201, 202):
                return answer.json()
            assert answer.status_code >= 500, answer.text
        await asyncio.sleep(0.1)
    raise AssertionError(f"nobody took {text!r}")


async def messages(client: Client, room: str, *, at: int = 0) -> list[dict[str, Any]]:
    answer = await client.request("GET", f"/api/v1/rooms/{room}/messages", at=at)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def payloads(subscriber: Subscriber, event: str) -> list[dict[str, Any]]:
    return [frame["event"]["payload"] for frame in subscriber.of("event") if frame["event"]["eventName"] == event]


def of_answer(subscriber: Subscriber, message_id: str) -> list[dict[str, Any]]:
    return [each for each in payloads(subscriber, "message_stream") if each["message_id"] == message_id]


async def test_a_worker_that_is_killed_while_agents_answer(
    stack: Stack, alice: Client, bob: Client, room: str, follow: Any
) -> None:
    hers, his = await follow(SocketSubscriber, alice, room), await follow(StreamSubscriber, bob, room, at=1)
    asked = await say(alice, room, '!script [{"tokens": 2000, "per_second": 50}]', key="asked")
    answers = asked["answers"]
    assert len(answers) == len(AGENTS)
    for each in answers:
        await eventually(lambda: len(of_answer(his, each)) > 3, within=SECONDS, what="tokens")  # noqa: B023
    stack.living_workers[0].kill()
    stack.start_worker()
    for subscriber in (hers, his):
        for each in answers:
            await eventually(
                lambda: any(token.get("final") for token in of_answer(subscriber, each)),  # noqa: B023
                within=SECONDS,
                what="the end of an answer whose worker died",
            )
    kept = await messages(bob, room, at=1)
    # The message, and one answer of each agent, with what it had said.
    assert [each["id"] for each in kept] == [asked["id"], *answers]
    for each in kept[1:]:
        assert each["status"] == "failed"
        assert words(2000).startswith(each["text"])
        for subscriber in (hers, his):
            assert "".join(token["text"] for token in of_answer(subscriber, each["id"])) == each["text"]
            seqs = [token["seq"] for token in of_answer(subscriber, each["id"])]
            assert seqs == sorted(set(seqs))
    again = await say(bob, room, '!script [{"tokens": 5}]', key="again", at=1)
    for subscriber in (hers, his):
        # His message, and an answer of each: whole ones are messages.
        await eventually(
            lambda: len(payloads(subscriber, "message_posted")) >= 2 + len(AGENTS),  # noqa: B023
            within=SECONDS,
            what="whole answers",
        )
    kept = await messages(alice, room)
    assert [each["id"] for each in kept[3:]] == [again["id"], *again["answers"]]
    assert [each["text"] for each in kept[4:]] == [words(5)] * len(AGENTS)
    # Nobody answered the answers.
    assert not stack.query(
        "SELECT 1 FROM chat_run r JOIN chat_message m ON m.id = r.message_id "
        "WHERE m.conversation_id = %s AND r.status NOT IN ('completed', 'failed')",
        room,
    )


async def test_a_web_process_that_is_killed_while_people_talk(
    stack: Stack, alice: Client, bob: Client, room: str, follow: Any
) -> None:
    for each in AGENTS:
        answer = await alice.request("DELETE", f"/api/v1/rooms/{room}/participants/{each}")
        assert answer.status_code == 204, answer.text
    hers, his = await follow(SocketSubscriber, alice, room), await follow(StreamSubscriber, bob, room)
    for number in range(8):
        if number == 3:
            stack.webs[0].kill()
        # She talks to the process that dies, and the same message is sent again where nobody heard the answer.
        await say(alice, room, f"alice {number}", key=f"a{number}", at=0)
        await say(bob, room, f"bob {number}", key=f"b{number}", at=1)
    said = [f"{who} {number}" for number in range(8) for who in ("alice", "bob")]
    for subscriber in (hers, his):
        await eventually(
            lambda: len(payloads(subscriber, "message_posted")) >= len(said),  # noqa: B023
            within=SECONDS,
            what="all that was said",
        )
        assert [each["text"] for each in payloads(subscriber, "message_posted")] == said
    assert [each["text"] for each in await messages(alice, room, at=1)] == said
    # Who writes has read what was there: she has not what he said after her, and he has all.
    for client, unread in ((alice, 1), (bob, 0)):
        shown = (await client.request("GET", f"/api/v1/rooms/{room}", at=1)).json()
        assert (shown["unread"], shown["last_message"]["text"]) == (unread, "bob 7")

    def notices() -> dict[str, int]:
        """By whom how often a new message in the room was told, by the rule that every organisation has."""
        rows = stack.query(
            "SELECT u.username, count(*) FROM notifications_notification n JOIN accounts_user u ON u.id = n.user_id "
            "WHERE n.action_url = %s AND n.title = 'New message in Harbour' GROUP BY 1",
            f"/rooms/{room}",
        )
        return dict(rows)

    # Each of all that the other said, and nobody else.
    await eventually(lambda: sum(notices().values()) >= 16, within=SECONDS, what="a notification of each message")
    assert notices() == {"alice": 8, "bob": 8}
