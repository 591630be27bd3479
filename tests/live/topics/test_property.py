"""Random topics, patterns, memberships, publishers and cuts, on both brokers: everybody is told exactly what matches and what
he may see, in order, once, over either transport.

TOPICS_SEEDS says how many random worlds are tried (2).
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import product

import pytest

from tests.live.conftest import USERS, Client, log_in
from tests.live.processes import Stack, eventually
from tests.live.topics.publisher import Publisher
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber
from tests.patience import patiently

SEEDS = range(1, 1 + int(os.environ.get("TOPICS_SEEDS", "2")))
SECONDS = patiently(40)
READERS = ("alice", "bob", "alice")
"""Each over both transports."""

pytestmark = pytest.mark.timeout(300)

Memberships = dict[str, list[str]]
"""The organisations of each user."""


@pytest.fixture(scope="module", params=["redis", "nats"])
def session_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    made = Stack(broker=request.param)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def tokens(session_stack: Stack) -> dict[str, str]:
    return {name: log_in(session_stack, name) for name in USERS}


def make_memberships(stack: Stack, chance: random.Random, names: list[str]) -> Memberships:
    """Organisations, and who belongs to which: everybody to one at least, and not to all."""
    made: Memberships = {}
    for name in names:
        stack.query("INSERT INTO accounts_organization (public_id, name) VALUES (%s, %s)", name, name)
    for user in sorted(set(READERS)):
        made[user] = chance.sample(names, chance.randint(1, len(names) - 1))
        stack.query(
            "INSERT INTO accounts_membership (organization_id, user_id, role) SELECT o.id, u.id, 'member' "
            "FROM accounts_organization o, accounts_user u WHERE o.public_id = ANY(%s) AND u.username = %s",
            made[user],
            user,
        )
    return made


def a_topic(chance: random.Random, organizations: list[str]) -> str:
    """Of few words, so that patterns meet them; with up to two filters, in their order."""
    path = [chance.choice(("tasks", "flows")), chance.choice(("task", "flow")), chance.choice(("run", "done"))]
    pairs = [part for key in ("k", "l") if chance.random() < 0.4 for part in (key, chance.choice("xy"))]
    return ".".join(["events", chance.choice(organizations), *path, f"r{chance.randint(1, 3)}", *pairs])


def a_pattern(chance: random.Random, organizations: list[str]) -> str:
    """A topic some of whose words are wild; never its organisation, nor the names of its filters."""
    words = a_topic(chance, organizations).split(".")
    return ".".join(word if place in (0, 1, 6, 8) or chance.random() < 0.5 else "*" for place, word in enumerate(words))


def matches(pattern: str, topic: str) -> bool:
    """The reference: word by word, then each filter of the pattern is looked for. Nothing of ours is used."""
    wanted, words = pattern.split("."), topic.split(".")
    filters, found = (dict(zip(each[6::2], each[7::2], strict=True)) for each in (wanted, words))
    return all(mine in ("*", word) for mine, word in zip(wanted[:6], words[:6], strict=True)) and all(
        key in found and value in ("*", found[key]) for key, value in filters.items()
    )


def expected(publishers: Iterable[Publisher], patterns: list[str], organization: str) -> list[tuple[str, int]]:
    """What someone with these patterns is to be told of an organisation, in order."""
    taken = [
        (tuple(map(int, cursor.split("-"))), number)
        for publisher in publishers
        for cursor, topic, number in publisher.taken
        if topic.split(".")[1] == organization and any(matches(pattern, topic) for pattern in patterns)
    ]
    return [(organization, number) for _, number in sorted(taken)]


@asynccontextmanager
async def subscribed(subscribers: list[Subscriber]) -> AsyncIterator[None]:
    try:
        for each in subscribers:
            async with asyncio.timeout(SECONDS):
                await each.ready.wait()
        yield
    finally:
        for each in subscribers:
            await each.stop()


@pytest.mark.parametrize("seed", SEEDS)
async def test_everybody_is_told_exactly_what_matches_and_what_he_may_see(
    stack: Stack, tokens: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"org_p{seed}{letter}" for letter in "abc"]
    memberships = make_memberships(stack, chance, names)

    def patterns_for(user: str) -> list[str]:
        # One at least is in force; among the others are some of organisations that are not his.
        mine = [a_pattern(chance, memberships[user])]
        return list(dict.fromkeys(mine + [a_pattern(chance, names) for _ in range(chance.randint(1, 6))]))

    subscribers: list[Subscriber] = [
        kind(stack, tokens[user], patterns_for(user), chance=random.Random(seed * 100 + number), at=number)
        for number, (kind, user) in enumerate(product((SocketSubscriber, StreamSubscriber), READERS))
    ]
    publishers = [Publisher(Client(stack, tokens["demo"]), first=first) for first in (0, 1_000_000)]

    async def run(at: int) -> None:
        for _ in range(30):
            await publishers[at].publish([a_topic(chance, names) for _ in range(chance.randint(1, 8))], at=at)

    async with subscribed(subscribers):
        await asyncio.gather(run(0), run(1))
        for each, user in zip(subscribers, READERS * 2, strict=True):
            for name in names:
                wanted = expected(publishers, each.topics, name) if name in memberships[user] else []
                await eventually(
                    lambda: len(_of(each, name)) >= len(wanted),  # noqa: B023 - called at once
                    within=SECONDS,
                    what=f"{len(wanted)} events of {name} for {each.topics}",
                )
                assert _of(each, name) == wanted
            assert not each.of("backlog.truncated")
    assert sum(each.cuts for each in subscribers) > 2


def _of(subscriber: Subscriber, organization: str) -> list[tuple[str, int]]:
    return [each for each in subscriber.numbers if each[0] == organization]
