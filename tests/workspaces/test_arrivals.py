"""What is news to whom, of those who come and go."""

import json

import pytest

from tests.events.conftest import until
from workspaces import arrivals
from workspaces.arrivals import Arrivals


def came(user):
    return json.dumps({"type": "user_joined", "user_id": user})


def left(user):
    return json.dumps({"type": "user_left", "user_id": user})


@pytest.fixture
async def found():
    """Ann and bob are here, and nobody else."""
    arrivals = Arrivals()
    arrivals.told(["ann", "bob"], whole=True)
    yield arrivals
    arrivals.close()


async def test_what_the_state_has_told_is_no_news(found):
    assert [found.is_news(text) for text in (came("ann"), left("carl"))] == [False, False]


async def test_every_change_after_it_is(found):
    changes = [left("ann"), came("ann"), came("carl"), left("carl"), left("bob")]
    assert [found.is_news(text) for text in changes] == [True] * 5
    assert [found.is_news(text) for text in (came("ann"), left("bob"), left("carl"))] == [False] * 3


async def test_with_a_part_of_those_who_are_here_nothing_can_be_known(found):
    found.told(["ann"], whole=False)
    assert found.is_news(left("zoe"))
    assert found.is_news(came("ann"))


async def test_after_a_while_everything_is_news_again(monkeypatch):
    monkeypatch.setattr(arrivals, "SETTLING_SECONDS", 0.05)
    found = Arrivals()
    found.told(["ann"], whole=True)
    await until(lambda: found.is_news(came("ann")))
    assert found.is_news(came("ann"))
