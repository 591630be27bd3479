"""One server for the tests of the user feed, with the settings that users meet unless they change them."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from tests.live.conftest import USERS, Client, log_in
from tests.live.processes import Stack
from tests.live.user_feed.wire import Person, Publisher

SLOT_SECONDS = 4.0
RECHECK_SECONDS = 3.0
SETTINGS = {
    "SSE_MAX_CONCURRENT_PER_USER": "8",
    "EVENTS_STREAM_MAXLEN": "1000",
    "EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW": "30",
    # Long, as it is: nothing may have to wait for the next sign of life.
    "SSE_KEEPALIVE_SECONDS": "15",
    "EVENTS_SLOT_SECONDS": str(SLOT_SECONDS),
    "AUTH_RECHECK_SECONDS": str(RECHECK_SECONDS),
    "CALLER_CACHE_SECONDS": "1",
}
PEOPLE = 200


@pytest.fixture(scope="package")
def feed_stack() -> Iterator[Stack]:
    stack = Stack(settings=SETTINGS)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def stack(feed_stack: Stack) -> Iterator[Stack]:
    """A server that is whole: two web processes, one worker."""
    feed_stack.mark_logs()
    yield feed_stack
    feed_stack.heal()


@pytest.fixture(scope="package")
def feed_tokens(feed_stack: Stack) -> dict[str, str]:
    return {name: log_in(feed_stack, name) for name in USERS}


@pytest.fixture(scope="package")
def everybody(feed_stack: Stack) -> Iterator[Person]:
    return (Person(*each) for each in feed_stack.new_people(PEOPLE))


@pytest.fixture
def people(everybody: Iterator[Person]) -> Callable[[], Person]:
    """Gives users whom no other test knows: with a feed, slots and a budget of their own."""
    return lambda: next(everybody)


@pytest.fixture
def person(people: Callable[[], Person]) -> Person:
    return people()


@pytest.fixture
def alice(stack: Stack, feed_tokens: dict[str, str]) -> Client:
    return Client(stack, feed_tokens["alice"])


@pytest_asyncio.fixture
async def publisher(stack: Stack, feed_tokens: dict[str, str]) -> AsyncIterator[Publisher]:
    async with Publisher(stack, feed_tokens["demo"]) as publisher:
        yield publisher


@pytest.fixture
def web_with(stack: Stack) -> Iterator[Callable[..., str]]:
    """Starts one more web process with other settings, for this test alone; its address."""
    started = []

    def start(**settings: str) -> str:
        normal = stack.environment
        stack.environment = normal | settings
        try:
            child = stack.start_web()
        finally:
            stack.environment = normal
        started.append(child)
        stack.wait_ready()
        return stack.addresses[-1]

    yield start
    for child in started:
        child.kill()
        index = stack.webs.index(child)
        del stack.webs[index], stack.addresses[index]
