"""Topics when a process dies, and when a membership ends; test_property.py has what is told in good times."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.live.conftest import Client, measured
from tests.live.processes import Stack, eventually
from tests.live.topics.publisher import Publisher
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber
from tests.patience import patiently

SECONDS = patiently(40)


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
