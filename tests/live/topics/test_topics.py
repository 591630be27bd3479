"""Topics over two web processes: whoever subscribes is told exactly what matches and what he may see, in order, once."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from events.topics import parse_pattern, parse_topic
from tests.live.conftest import Client, measured
from tests.live.processes import Stack, eventually
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber
from tests.patience import patiently

SECONDS = patiently(40)
ORGANIZATIONS = ("org_demo", "org_second")
MEMBERS = {"alice": ORGANIZATIONS, "bob": ("org_demo",)}
WILD = "*"


@pytest.fixture
def second_organization(stack: Stack) -> None:
    """Alice belongs to another organisation, too, and Bob does not."""
    stack.query(
        "INSERT INTO accounts_organization (public_id, name) VALUES ('org_second', 'Second') ON CONFLICT (public_id) DO NOTHING"
    )
    stack.query(
        "INSERT INTO accounts_membership (organization_id, user_id, role) "
        "SELECT o.id, u.id, 'member' FROM accounts_organization o, accounts_user u "
        "WHERE o.public_id = 'org_second' AND u.username = 'alice' ON CONFLICT DO NOTHING"
    )


@pytest.fixture
async def subscribe(stack: Stack, tokens: dict[str, str], second_organization: None) -> AsyncIterator[Any]:
    made: list[Subscriber] = []

    async def start(kind: type[Subscriber], who: str, topics: list[str], seed: int, at: int = 0) -> Subscriber:
        made.append(kind(stack, tokens[who], topics, chance=random.Random(seed), at=at))
        async with asyncio.timeout(SECONDS):
            await made[-1].ready.wait()
        return made[-1]

    yield start
    for each in made:
        await each.stop()


class Publisher:
    """Publishes over both processes, and keeps in what order each organisation's stream took it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.numbers = itertools.count()
        self.taken: list[tuple[str, str, int]] = []
        """(cursor, topic, number)"""

    async def publish(self, topics: list[str], *, at: int) -> None:
        items = [{"topic": topic, "payload": {"n": next(self.numbers)}} for topic in topics]
        answer = await self.client.request("POST", "/api/v1/topics/publish", at=at, json=items)
        assert answer.status_code == 202, answer.text
        for item, result in zip(items, answer.json()["results"], strict=True):
            self.taken.append((result["cursor"], item["topic"], item["payload"]["n"]))

    def expected(self, patterns: list[str], organization: str) -> list[tuple[str, int]]:
        parsed = [each for each in map(parse_pattern, patterns) if each.organization == organization]
        mine = [
            (_place(cursor), number)
            for cursor, topic, number in self.taken
            if any(pattern.matches(parse_topic(topic)) for pattern in parsed)
        ]
        return [(organization, number) for _, number in sorted(mine)]


def _place(cursor: str) -> tuple[int, ...]:
    return tuple(map(int, cursor.split("-")))


def _topic(chance: random.Random) -> str:
    path = [
        chance.choice(("tasks", "flows")),
        chance.choice(("task", "flow")),
        chance.choice(("run", "done")),
        f"r{chance.randint(1, 3)}",
    ]
    pairs = [part for key in ("k", "l") if chance.random() < 0.4 for part in (key, chance.choice("xy"))]
    return ".".join(["events", chance.choice(ORGANIZATIONS), *path, *pairs])


def _pattern(chance: random.Random, organizations: tuple[str, ...]) -> str:
    segments = _topic(chance).split(".")
    segments[1] = chance.choice(organizations)
    return ".".join(
        each if number < 2 or number in (6, 8) or chance.random() < 0.5 else WILD for number, each in enumerate(segments)
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_topics_patterns_publishers_and_cuts(
    stack: Stack, tokens: dict[str, str], subscribe: Any, seed: int
) -> None:
    chance = random.Random(seed)
    subscribers = []
    for number, (kind, who) in enumerate(itertools.product((SocketSubscriber, StreamSubscriber), ("alice", "bob", "alice"))):
        patterns = list({_pattern(chance, MEMBERS[who]) for _ in range(chance.randint(1, 6))})
        subscribers.append(await subscribe(kind, who, patterns, seed * 100 + number, at=number))
    publishers = [Publisher(Client(stack, tokens["demo"])) for _ in range(2)]
    publishers[1].numbers = itertools.count(1_000_000)
    publishers[1].taken = publishers[0].taken

    async def run(publisher: Publisher, at: int) -> None:
        for _ in range(40):
            await publisher.publish([_topic(chance) for _ in range(chance.randint(1, 8))], at=at)

    await asyncio.gather(*(run(each, at) for at, each in enumerate(publishers)))
    for each in subscribers:
        for organization in ORGANIZATIONS:
            wanted = publishers[0].expected(each.topics, organization)
            await eventually(
                lambda: len(_of(each, organization)) >= len(wanted),  # noqa: B023 - called at once
                within=SECONDS,
                what=f"{len(wanted)} events of {organization} for {each.topics}",
            )
            assert _of(each, organization) == wanted
        assert not each.of("backlog.truncated")
    assert sum(each.cuts for each in subscribers) > 6


def _of(subscriber: Subscriber, organization: str) -> list[Any]:
    return [each for each in subscriber.numbers if each[0] == organization]


async def test_a_web_process_that_is_killed_takes_nothing_along(stack: Stack, tokens: dict[str, str], subscribe: Any) -> None:
    topics = ["events.org_demo.killed.task.done.*"]
    subscribers = [await subscribe(kind, "alice", topics, 1000) for kind in (SocketSubscriber, StreamSubscriber)]
    publisher = Publisher(Client(stack, tokens["demo"]))
    for n in range(30):
        if n == 10:
            stack.webs[0].kill()
        await publisher.publish(["events.org_demo.killed.task.done.x"], at=1)
    for each in subscribers:
        await eventually(lambda: len(each.numbers) >= 30, within=SECONDS, what="all events")  # noqa: B023
        assert each.numbers == [("org_demo", n) for n in range(30)]


async def test_who_is_put_out_of_an_organisation_hears_no_more_within_seconds(
    stack: Stack, tokens: dict[str, str], subscribe: Any
) -> None:
    topics = ["events.org_second.out.task.done.*"]
    subscribers = [await subscribe(kind, "alice", topics, 1000) for kind in (SocketSubscriber, StreamSubscriber)]
    began = asyncio.get_running_loop().time()
    # As by hand in the database: nobody announces it, so that only the look now and then can find it.
    stack.query(
        "DELETE FROM accounts_membership m USING accounts_organization o, accounts_user u "
        "WHERE m.organization_id = o.id AND m.user_id = u.id AND o.public_id = 'org_second' AND u.username = 'alice'"
    )
    for each in subscribers:
        await eventually(lambda: each.of("error"), within=SECONDS, what="the error")  # noqa: B023
        assert each.of("error")[0]["code"] == "forbidden"
    measured("put out of an organisation, unannounced", asyncio.get_running_loop().time() - began)
    await Publisher(Client(stack, tokens["demo"])).publish(["events.org_second.out.task.done.x"], at=0)
    await asyncio.sleep(0.5)
    assert not any(each.numbers for each in subscribers)
